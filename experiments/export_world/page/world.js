// The world: graphs that ONNX Runtime Web runs, and the state between frames.
import { drawFrame, randomOf } from "./sampling.js";

// A state is never changed: one that is kept is a place to go back to.
export class World {
  #ort; #facts; #graphs = {};

  // facts: tokens, codes, width, heads, drafts (whether they are read), slots, [K, D], size, [H, W, C], and
  // cache, [layers, positions, frames kept, numbers of each]. graphs: look, show and, with drafts, draft.
  static async open(ort, facts, graphs) {
    const world = new World();
    [world.#ort, world.#facts] = [ort, facts];
    for (const [name, bytes] of Object.entries(graphs)) {
      world.#graphs[name] = await ort.InferenceSession.create(bytes, { executionProviders: ["wasm"] });
    }
    return world;
  }

  // start: {ids, leads, drafts}, of its frames one after another -> the state.
  async start({ ids, leads, drafts }) {
    const { tokens, width, cache } = this.#facts;
    const size = cache.reduce((one, other) => one * other);
    let state = { keys: new Float32Array(size), values: new Float32Array(size), count: 0 };
    for (let frame = 0; frame * tokens < ids.length; frame++) {
      const [from, to] = [frame * tokens, (frame + 1) * tokens];
      const led = { lead: leads.slice(frame * width, (frame + 1) * width), draft: drafts.slice(from, to) };
      state = await this.#written(state, ids.slice(from, to), led);
    }
    return { ...state, pixels: await this.#picture(ids.slice(-tokens)) };
  }

  // The state after one, whose newest frame is `pixels`. code: what leads to the next frame, and its slots.
  async step(state, { lead, slots }, { seed, steps, temperature, pause }) {
    const { tokens, codes, drafts } = this.#facts;
    const led = { lead, draft: drafts ? await this.#drafted(state.pixels, slots) : null };
    const logitsOf = async (ids) => {
      await pause();
      return (await this.#pass(state, ids, led)).logits.data;
    };
    const random = randomOf(seed, state.count);
    const ids = await drawFrame(logitsOf, { tokens, codes, steps, temperature, random });
    await pause();
    return { ...(await this.#written(state, ids, led)), pixels: await this.#picture(ids) };
  }

  #tensor(type, data, shape) {
    return new this.#ort.Tensor(type, data, shape);
  }

  #pass({ keys, values, count }, ids, { lead, draft }) {
    const { tokens, width, heads, drafts, cache } = this.#facts;
    const [layers, positions, kept, numbers] = cache;
    const held = [layers, 1, positions, kept, heads, numbers / heads];
    const feeds = {
      ids: this.#tensor("int32", ids, [1, tokens]),
      lead: this.#tensor("float32", lead, [1, 1, width]),
      keys: this.#tensor("float32", keys, held),
      values: this.#tensor("float32", values, held),
      count: this.#tensor("int32", Int32Array.of(count), [1]),
    };
    if (drafts) feeds.draft = this.#tensor("int32", draft, [1, tokens]);
    return this.#graphs.look.run(feeds);
  }

  async #drafted(pixels, slots) {
    const { size, slots: shape } = this.#facts;
    const frames = this.#tensor("uint8", pixels, [1, ...size]);
    const told = await this.#graphs.draft.run({ frames, slots: this.#tensor("float32", slots, [1, ...shape]) });
    return told.draft.data;
  }

  // The state after a frame: frame number f lies in place f modulo the frames kept.
  async #written(state, ids, led) {
    const { new_keys, new_values } = await this.#pass(state, ids, led);
    const [layers, positions, kept, numbers] = this.#facts.cache;
    const place = state.count % kept;
    const write = (held, { data }) => {
      const out = held.slice();
      for (let row = 0; kept && row < layers * positions; row++) {
        out.set(data.subarray(row * numbers, (row + 1) * numbers), (row * kept + place) * numbers);
      }
      return out;
    };
    return { keys: write(state.keys, new_keys), values: write(state.values, new_values), count: state.count + 1 };
  }

  async #picture(ids) {
    const told = await this.#graphs.show.run({ ids: this.#tensor("int32", ids, [1, ids.length]) });
    return told.frames.data;
  }
}
