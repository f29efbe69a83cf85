// Puts the parts together: what keys and buttons do, what the server says.
import { connect } from "./socket.js";
import { Keys } from "./keys.js";
import { showCodes, showPad, showStarts } from "./legend.js";
import { draw } from "./screen.js";
import { Latencies, Pace } from "./numbers.js";

const at = (id) => document.getElementById(id);
const facts = await (await fetch("/facts.json")).json();
const keyboards = facts.keyboards;
const pace = new Pace(), latencies = new Latencies();
let board = keyboards.findIndex((one) => one.keep === facts.keep);
let session = { paused: false, recording: false, start: 0, seed: 0, fps: facts.fps };
let marked = [], newest = 0; // frame

const socket = connect({ frame, said, opened, lost });
const keys = new Keys({ play, command });

at("title").textContent = document.title = facts.title;
at("about").append(...facts.about.flatMap(({ text, whole }, n) => [n ? " · " : "", titled(text, whole)]));
at("why").textContent = facts.why && `No simulator beside it: ${facts.why}.`;
at("keep").max = keyboards.length - 1;
at("fps").max = Math.min(60, facts.fastest);
at("sampling").hidden = !facts.sampling;
at("record").disabled = at("records").disabled = !facts.records;
at("record").title = facts.records ? "" : "start the page with --out=DIR";
const starts = showStarts(at("starts"), facts, (index) => socket.send({ type: "start", index, seed: seed() }));
rebuild();

for (const name of ["pause", "step", "undo", "reset", "record"]) at(name).onclick = () => command(name);
at("records").onclick = () => socket.send({ type: "records" });
at("keep").oninput = () => choose(Number(at("keep").value));
at("fps").oninput = () => rate(Number(at("fps").value));
document.addEventListener("visibilitychange", shown);
at("seed").onchange = () => socket.send({ type: "start", seed: seed() });
at("steps").onchange = at("temperature").onchange = sample;
for (const name of ["keep", "fps"]) at(name).onpointerup = ({ target }) => target.blur(); // else it has the arrows

function play(code) {
  const stamp = performance.now();
  socket.send(code === null ? { type: "release", stamp } : { type: "hold", code, stamp });
}

function command(name) {
  const number = facts.starts.findIndex((one) => one.index === session.start);
  const actions = {
    pause: () => socket.send({ type: "pause", on: !session.paused }),
    step: () => socket.send(keys.code === null ? { type: "step" } : { type: "step", code: keys.code }),
    undo: () => socket.send({ type: "undo" }),
    reset: () => socket.send({ type: "start" }),
    record: () => facts.records && socket.send({ type: "record", on: !session.recording }),
    fewer: () => choose(Math.max(0, board - 1)),
    more: () => choose(Math.min(keyboards.length - 1, board + 1)),
    slower: () => rate(Math.max(1, session.fps - 1)),
    faster: () => rate(Math.min(facts.fastest, session.fps + 1)),
    next: () => socket.send({ type: "start", index: facts.starts[(number + 1) % facts.starts.length].index }),
    simulator: () => facts.live === null ? tell(facts.why) : socket.send({ type: "start", index: facts.live }),
    help: () => { at("help").open = !at("help").open; },
  };
  actions[name]();
}

function choose(number) {
  board = number;
  socket.send({ type: "keep", value: keyboards[board].keep });
  rebuild();
}

function rate(fps) {
  session.fps = fps;
  socket.send({ type: "rate", fps });
  showSession();
}

function sample() {
  const value = (id) => (at(id).value === "" ? null : Number(at(id).value));
  socket.send({ type: "sampling", steps: value("steps"), temperature: value("temperature") });
}

function seed() {
  return Math.min(2147483647, Math.max(0, Math.floor(Number(at("seed").value) || 0)));
}

function rebuild() {
  const one = keyboards[board];
  at("keep").value = board;
  at("kept").textContent = one.keep;
  marked = showCodes(at("codes"), one, keys);
  showPad(at("pad"), one, keys);
  keys.use(one);
  const read = one.codes.some((code) => code.action);
  at("legend").textContent = "Arrow: mean motion of the picture in data. " +
    (read ? "Share: how often the code's transitions have the action, with its interval. " : "") +
    "Dashed: no action card says that the code does what it reads as.";
}

function opened() {
  newest = 0;
  at("veil").hidden = true;
  tell("");
  if (keyboards[board].keep !== facts.keep) socket.send({ type: "keep", value: keyboards[board].keep });
  if (session.fps !== facts.fps) socket.send({ type: "rate", fps: session.fps });
  if (facts.sampling) sample();
  keys.use(keyboards[board]); // plays what is held already
}

function lost(reason) {
  at("veil").textContent = reason;
  at("veil").hidden = false;
  keys.release();
}

function frame(header, pixels) {
  const [height, width, channels] = header.shape;
  const size = height * width * channels;
  draw(at("world"), header.shape, pixels.subarray(0, size));
  at("beside").hidden = !header.truth;
  if (header.truth) draw(at("truth"), header.truth, pixels.subarray(size));
  newest = header.frame;
  shown();
  const now = performance.now();
  if (header.code >= 0) pace.tick(now);
  if (header.stamp) latencies.add(now - header.stamp);
  at("number").textContent = header.step;
  const code = keyboards[board].codes[header.code];
  at("code").textContent = code ? `${code.name}${code.action && ` (${code.action})`}` : "–";
  at("rate").textContent = `${session.paused ? "–" : pace.rate(now).toFixed(1)} of ${session.fps}`;
  at("latency").textContent = latencies.told();
  at("model").textContent = header.milliseconds || "–";
  marked.forEach((button, number) => button.classList.toggle("on", number === header.code));
}

// While nobody sees the page the server is left to wait, so that pages that are seen have the machine.
function shown() {
  if (!document.hidden) socket.send({ type: "shown", frame: newest });
}

function said(message) {
  if (message.type === "error") tell(message.text);
  if (message.type === "saved") saved(message.files);
  if (message.type === "session") {
    if (session.paused !== message.paused) pace.forget();
    session = message;
    showSession();
  }
}

function showSession() {
  at("pause").setAttribute("aria-pressed", session.paused);
  at("record").setAttribute("aria-pressed", session.recording);
  at("undo").disabled = session.undo === 0 && session.paused;
  at("fps").value = session.fps;
  at("asked").textContent = session.fps;
  if (document.activeElement !== at("seed")) at("seed").value = session.seed;
  starts.forEach((button, index) => button.setAttribute("aria-pressed", index === session.start));
}

function saved(files) {
  const item = document.createElement("li");
  for (const file of files) {
    const name = file.split("/").pop();
    const part = document.createElement(file.includes("/") ? "a" : "span");
    if (file.includes("/")) Object.assign(part, { href: `/recorded/${name}`, download: name });
    part.textContent = name;
    item.append(part, " ");
  }
  at("saved").prepend(item);
  tell(`Written: ${files.join(", ")}`);
}

function titled(text, title) {
  return Object.assign(document.createElement("span"), { textContent: text, title });
}

function tell(text) {
  at("told").textContent = text;
}
