// What the file carries: bytes in base64, most of them gzipped, and facts as JSON.
export function bytesOf(text) {
  const raw = atob(text);
  const bytes = new Uint8Array(raw.length);
  for (let at = 0; at < raw.length; at++) bytes[at] = raw.charCodeAt(at);
  return bytes;
}

export async function unpacked(id) {
  const place = document.getElementById(id);
  const packed = new Blob([bytesOf(place.textContent.trim())]);
  place.remove(); // The text is not needed again.
  const stream = packed.stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

export function facts(id) {
  return JSON.parse(document.getElementById(id).textContent);
}

// A module that is text, by an address that names nothing outside of this page.
export function moduleOf(bytes) {
  const address = URL.createObjectURL(new Blob([bytes], { type: "text/javascript" }));
  return import(address).finally(() => URL.revokeObjectURL(address));
}
