// Plays key events, given as JSON lines on stdin, to the page's Keys; prints what the server was told.
import { readFileSync } from "node:fs";

const listeners = {};
globalThis.addEventListener = (name, heard) => { listeners[name] = heard; };
globalThis.document = { addEventListener() {}, activeElement: null };

const { Keys } = await import(process.argv[2]);
const told = [];
const keys = new Keys({ play: (code) => told.push(code), command: (name) => told.push(name) });

for (const [what, value] of JSON.parse(readFileSync(0, "utf8"))) {
  const event = { code: value, key: value, target: {}, preventDefault() {} };
  if (what === "down") listeners.keydown(event);
  if (what === "up") listeners.keyup(event);
  if (what === "board") keys.use(value);
  if (what === "button") keys.press(`code ${value}`, { code: value });
  if (what === "away") listeners.blur();
}
console.log(JSON.stringify(told));
