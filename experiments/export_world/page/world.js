// The world: two graphs that ONNX Runtime Web runs, and the state between frames.
import { drawFrame, randomOf } from "./sampling.js";

// A state is never changed: one that is kept is a place to go back to.
export class World {
  #ort; #look; #show; #facts;

  // facts: tokens, codes, width, heads, and cache, [layers, positions, frames kept, numbers of each].
  static async open(ort, facts, look, show) {
    const world = new World();
    const open = (bytes) => ort.InferenceSession.create(bytes, { executionProviders: ["wasm"] });
    [world.#ort, world.#facts, world.#look, world.#show] = [ort, facts, await open(look), await open(show)];
    return world;
  }

  // start: {ids, leads}, of its frames one after another -> {pixels, state}.
  async start({ ids, leads }) {
    const { tokens, width, cache } = this.#facts;
    const size = cache.reduce((one, other) => one * other);
    let state = { keys: new Float32Array(size), values: new Float32Array(size), count: 0 };
    let last;
    for (let frame = 0; frame * tokens < ids.length; frame++) {
      last = ids.slice(frame * tokens, (frame + 1) * tokens);
      state = await this.#written(state, last, leads.slice(frame * width, (frame + 1) * width));
    }
    return { pixels: await this.#picture(last), state };
  }

  // The next frame by what leads to it -> {pixels, state}.
  async step(state, lead, { seed, steps, temperature, pause }) {
    const { tokens, codes } = this.#facts;
    const logitsOf = async (ids) => {
      await pause();
      return (await this.#pass(state, ids, lead)).logits.data;
    };
    const random = randomOf(seed, state.count);
    const ids = await drawFrame(logitsOf, { tokens, codes, steps, temperature, random });
    await pause();
    return { pixels: await this.#picture(ids), state: await this.#written(state, ids, lead) };
  }

  #pass({ keys, values, count }, ids, lead) {
    const { tokens, width, heads, cache } = this.#facts;
    const [layers, positions, kept, numbers] = cache;
    const held = [layers, 1, positions, kept, heads, numbers / heads];
    const tensor = (type, data, shape) => new this.#ort.Tensor(type, data, shape);
    return this.#look.run({
      ids: tensor("int32", ids, [1, tokens]),
      lead: tensor("float32", lead, [1, 1, width]),
      keys: tensor("float32", keys, held),
      values: tensor("float32", values, held),
      count: tensor("int32", Int32Array.of(count), [1]),
    });
  }

  // The state after a frame: frame number f lies in place f modulo the frames kept.
  async #written(state, ids, lead) {
    const { new_keys, new_values } = await this.#pass(state, ids, lead);
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
    const tensor = new this.#ort.Tensor("int32", ids, [1, ids.length]);
    return (await this.#show.run({ ids: tensor })).frames.data;
  }
}
