// Pressed keys and buttons -> the code that is played; the newest wins. And keys that are commands.
const DIRECTIONS = {
  ArrowUp: "up", ArrowDown: "down", ArrowLeft: "left", ArrowRight: "right",
  KeyW: "up", KeyS: "down", KeyA: "strafe_left", KeyD: "strafe_right", Space: "fire",
};
const COMMANDS = {
  p: "pause", ".": "step", u: "undo", backspace: "undo", r: "reset", c: "record", "[": "fewer", "]": "more",
  "-": "slower", "+": "faster", "=": "faster", n: "next", m: "simulator", "?": "help",
};
const FIELDS = "input, select, textarea";

export class Keys {
  code = null; // that is played now
  #pressed = new Map(); // key -> {digit} or {direction}, button -> {code}; the newest last
  #board = { codes: [], actions: [], still: 0 };
  #play;

  constructor({ play, command }) {
    this.#play = play;
    addEventListener("keydown", (event) => this.#down(event, command));
    addEventListener("keyup", (event) => this.lift(event.code));
    addEventListener("blur", () => this.release());
    document.addEventListener("visibilitychange", () => document.hidden && this.release());
  }

  // Keys that are held play on, by the codes of this board; its buttons are other ones.
  use(board) {
    this.#board = board;
    for (const [key, { code }] of this.#pressed) if (code !== undefined) this.#pressed.delete(key);
    this.code = null; // the number of a code means another one now
    this.#changed();
  }

  press(key, what) {
    this.#pressed.delete(key);
    this.#pressed.set(key, what);
    this.#changed();
  }

  lift(key) {
    if (this.#pressed.delete(key)) this.#changed();
  }

  release() {
    this.#pressed.clear();
    this.#changed();
  }

  // A button that plays `what` while it is held, by pointer or by the keyboard.
  holds(button, key, what) {
    const lift = () => this.lift(key);
    button.onpointerdown = (event) => {
      if (event.button) return;
      button.setPointerCapture?.(event.pointerId);
      this.press(key, what);
    };
    button.onpointerup = button.onpointercancel = button.onlostpointercapture = lift;
    button.oncontextmenu = (event) => event.preventDefault();
    button.onkeydown = (event) => {
      if (event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault();
      event.stopPropagation();
      if (!event.repeat) this.press(key, what);
    };
    button.onkeyup = (event) => (event.key === "Enter" || event.key === " ") && lift();
    button.onblur = lift;
  }

  #down(event, command) {
    if (event.key === "Escape") return document.activeElement?.blur();
    if (event.ctrlKey || event.altKey || event.metaKey || event.target.matches?.(FIELDS)) return;
    const digit = /^(?:Digit|Numpad)(\d)$/.exec(event.code)?.[1];
    const direction = DIRECTIONS[event.code];
    if (event.code === "Space" && event.target.matches?.("button, summary, a")) return;
    if (direction || digit) {
      if (direction) event.preventDefault();
      if (event.repeat) return;
      if (direction) this.press(event.code, { direction });
      else if (this.#played(digit) !== null) this.press(event.code, { digit });
      return;
    }
    const name = COMMANDS[event.key.toLowerCase()];
    if (!name) return;
    event.preventDefault();
    if (!event.repeat || ["undo", "step", "slower", "faster"].includes(name)) command(name);
  }

  #played(digit) {
    if (digit === "0") return this.#board.still;
    const code = this.#board.codes.findIndex(({ key }) => key === digit);
    return code < 0 ? null : code;
  }

  // A and D strafe where some action does, else they turn.
  #meant(direction) {
    const known = this.#board.actions.some((action) => action.keys.includes(direction));
    return known ? direction : direction.replace("strafe_", "");
  }

  #changed() {
    const code = this.#chosen();
    if (code === this.code) return;
    this.code = code;
    this.#play(code);
  }

  #chosen() {
    const newest = [...this.#pressed.values()].pop();
    if (newest === undefined) return null;
    if (newest.code !== undefined) return newest.code;
    if (newest.digit) return this.#played(newest.digit);
    const directions = [...this.#pressed.values()].map((one) => one.direction).filter(Boolean);
    const pressed = directions.map((one) => this.#meant(one));
    const fitting = this.#board.actions.filter(
      ({ keys }) => keys.length && keys.every((key) => pressed.includes(key)),
    );
    const worth = ({ keys }) => 2 * keys.length + keys.includes(this.#meant(newest.direction));
    fitting.sort((one, other) => worth(other) - worth(one));
    return fitting[0]?.code ?? null;
  }
}
