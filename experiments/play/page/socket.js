// The WebSocket: frames and facts in, messages out; opened again when it is lost.
const AGAIN = 1500; // milliseconds

export function connect({ frame, said, opened, lost }) {
  let socket;
  const open = () => {
    socket = new WebSocket(`ws://${location.host}/socket`);
    socket.binaryType = "arraybuffer";
    socket.onopen = opened;
    socket.onmessage = ({ data }) => {
      if (typeof data === "string") return said(JSON.parse(data));
      const length = new DataView(data).getUint32(0, true);
      const header = JSON.parse(new TextDecoder().decode(new Uint8Array(data, 4, length)));
      frame(header, new Uint8Array(data, 4 + length));
    };
    socket.onclose = ({ code, reason }) => {
      const why = code === 1009 ? "A message was too large." : reason && `The server says: ${reason}.`;
      lost(`${why || "No connection: the server has ended, or too many tabs are open."} Trying again…`);
      setTimeout(open, AGAIN);
    };
  };
  open();
  return {
    send(message) {
      if (socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify(message));
    },
  };
}
