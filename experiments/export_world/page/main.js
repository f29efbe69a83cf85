// Puts the parts together: what keys and buttons do, and the one loop in which the world is computed.
import { facts as factsOf, bytesOf, moduleOf, unpacked } from "./embedded.js";
import { World } from "./world.js";
import { MOST_STEPS } from "./sampling.js";
import { Keys } from "./keys.js";
import { showCodes, showPad, showStarts } from "./legend.js";
import { draw } from "./screen.js";
import { Pace } from "./numbers.js";

const IDLE = 15; // milliseconds between looks at what is asked for
const MEMORY = 256 << 20; // bytes of states to go back to
const at = (id) => document.getElementById(id);
const facts = factsOf("facts");
const pace = new Pace(), channel = new MessageChannel();
const floats = (text) => new Float32Array(bytesOf(text).buffer);
const boards = facts.keyboards.map((board) => ({ ...board, leads: floats(board.leads), slots: floats(board.slots) }));
const whole = (text) => new Int32Array(bytesOf(text).buffer);
const begins = facts.starts.map(({ ids, leads, drafts }) => ({ ids: whole(ids), leads: floats(leads), drafts: whole(drafts) }));
let board = boards.findIndex((one) => one.keep === facts.keep);
let world, marked = [], now = null, past = []; // now: {state, number, code}
let start = 0, paused = false, fps = facts.fps, due = 0;
let turn = 0, restart = false, single = false, tapped = null; // what is asked for meanwhile

at("title").textContent = document.title = facts.title;
at("about").textContent = facts.about.join(" · ");
at("keep").max = boards.length - 1;
at("fps").max = facts.fastest;
at("steps").max = MOST_STEPS;
at("steps").value = facts.steps;
at("temperature").value = facts.temperature;
at("own").textContent = `the model's own: ${facts.sampling}`;
const keys = new Keys({ play, command });
const starts = showStarts(at("starts"), facts, (index) => begin(index));
for (const name of ["pause", "step", "undo", "reset"]) at(name).onclick = () => command(name);
at("keep").oninput = () => choose(Number(at("keep").value));
at("fps").oninput = () => rate(Number(at("fps").value));
at("seed").onchange = () => begin(start);
for (const name of ["keep", "fps"]) at(name).onpointerup = ({ target }) => target.blur(); // else it has the arrows
choose(board);
rate(fps);
begin(start);
try {
  await open();
  at("veil").hidden = true;
  await run();
} catch (error) {
  at("veil").textContent = `This browser does not run it: ${error.message ?? error}`;
  at("veil").hidden = false;
  throw error;
}

async function open() {
  const [script, binary] = [await unpacked("script"), await unpacked("runtime")];
  const graphs = {};
  for (const name of facts.graphs) graphs[name] = await unpacked(name);
  const ort = await moduleOf(script);
  Object.assign(ort.env.wasm, { numThreads: 1, wasmBinary: binary });
  world = await World.open(ort, facts.world, graphs);
}

// One pass of the model at a time; keys and clicks come between passes.
async function run() {
  for (;;) {
    const wait = restart || single ? 0 : due - performance.now();
    const code = keys.code ?? tapped ?? boards[board].still;
    const still = !restart && (code === null || (paused ? !single : document.hidden));
    if (still || wait > 0) {
      await new Promise((go) => setTimeout(go, still ? IDLE : Math.min(wait, IDLE)));
      continue;
    }
    const mine = turn;
    if (restart) {
      restart = false;
      const state = await world.start(begins[start]);
      if (mine === turn) show({ state, number: 0, code: null }, []);
      continue;
    }
    const began = performance.now();
    due = Math.max(due + 1000 / fps, began);
    single = false;
    tapped = null;
    const state = await world.step(now.state, told(code), { ...sampling(), pause });
    if (mine !== turn) continue; // Undone or begun again meanwhile.
    const kept = Math.max(1, Math.floor(MEMORY / (2 * now.state.keys.byteLength)));
    show({ state, number: now.number + 1, code }, [...past, now].slice(-kept));
    at("model").textContent = (performance.now() - began).toFixed(0);
  }
}

function pause() {
  return new Promise((go) => {
    channel.port1.onmessage = go;
    channel.port2.postMessage(0);
  });
}

// What the world is told of a code.
function told(code) {
  const part = (all, size) => all.slice(code * size, (code + 1) * size);
  const { leads, slots } = boards[board];
  const [count, width] = facts.world.slots;
  return { lead: part(leads, facts.world.width), slots: part(slots, count * width) };
}

function sampling() {
  const within = (id, least, most, own) => {
    const value = at(id).value === "" ? NaN : Number(at(id).value);
    return Number.isNaN(value) ? own : Math.min(most, Math.max(least, value));
  };
  return {
    seed: Math.floor(within("seed", 0, 2147483647, 0)),
    steps: Math.floor(within("steps", 1, MOST_STEPS, facts.steps)),
    temperature: within("temperature", 0, 10, facts.temperature),
  };
}

function show(next, before) {
  [now, past] = [next, before];
  draw(at("world"), facts.world.size, now.state.pixels);
  if (now.number) pace.tick(performance.now());
  at("number").textContent = now.number;
  const code = now.code === null ? null : boards[board].codes[now.code];
  at("code").textContent = code ? `${code.name}${code.action && ` (${code.action})`}` : "–";
  at("rate").textContent = `${paused ? "–" : pace.rate(performance.now()).toFixed(1)} of ${fps}`;
  at("undo").disabled = !past.length;
  marked.forEach((button, number) => button.classList.toggle("on", number === now.code));
}

function play(code) {
  if (code !== null) tapped = code; // A key that is let go before its step is played all the same.
}

function command(name) {
  const actions = {
    pause: () => hold(!paused),
    step: () => { hold(true); single = true; },
    undo,
    reset: () => begin(start),
    fewer: () => choose(Math.max(0, board - 1)),
    more: () => choose(Math.min(boards.length - 1, board + 1)),
    slower: () => rate(Math.max(1, fps - 1)),
    faster: () => rate(Math.min(facts.fastest, fps + 1)),
    next: () => begin((start + 1) % begins.length),
    help: () => { at("help").open = !at("help").open; },
  };
  actions[name]?.();
}

function begin(index) {
  [start, restart, tapped, single] = [index, true, null, false];
  turn++;
  pace.forget();
  starts.forEach((button, number) => button.setAttribute("aria-pressed", number === start));
}

function undo() {
  if (!past.length) return;
  turn++;
  hold(true);
  show(past.at(-1), past.slice(0, -1));
}

function hold(on) {
  paused = on;
  single = false;
  pace.forget();
  at("pause").setAttribute("aria-pressed", paused);
}

function rate(value) {
  fps = value;
  at("fps").value = fps;
  at("asked").textContent = fps;
}

function choose(number) {
  board = number;
  tapped = null;
  const one = boards[board];
  at("keep").value = board;
  at("kept").textContent = one.keep;
  marked = showCodes(at("codes"), one, keys);
  showPad(at("pad"), one, keys);
  keys.use(one);
  const proven = one.codes.filter(({ validated }) => validated).length;
  at("legend").textContent = `Arrow: mean motion of the picture in data. Share: how often the code's transitions have ` +
    `the action, with its interval. ${proven} of ${one.codes.length} codes are validated by an action card; the others ` +
    `are drawn dashed, and nothing shows that they do what they read as.`;
}
