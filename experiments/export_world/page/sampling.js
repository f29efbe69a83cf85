// Draws the tokens of a frame by masked passes, as flexlam_jax/models/maskgit.py does, with random numbers
// of its own. A token that is hidden is `codes`, one more than the last.
export const MOST_STEPS = 25;

// How many tokens are still hidden after each step, the cosine schedule.
export function hiddenAfter(tokens, steps) {
  const counts = [];
  for (let step = 1, left = tokens; step <= steps; step++) {
    const cosine = Math.floor(tokens * Math.cos((0.5 * Math.PI * step) / steps));
    left = step < steps ? Math.max(0, Math.min(cosine, left - 1)) : 0;
    counts.push(left);
    if (!left) break;
  }
  return counts;
}

// Random numbers in (0, 1) of a seed and the number of a frame (splitmix32).
export function randomOf(seed, number) {
  let state = Math.imul(seed ^ 0x9e3779b9, 0x85ebca6b) ^ Math.imul(number + 1, 0xc2b2ae35);
  return () => {
    state = (state + 0x9e3779b9) | 0;
    let x = Math.imul(state ^ (state >>> 16), 0x21f0aaad);
    x = Math.imul(x ^ (x >>> 15), 0x735a2d97);
    return ((x ^ (x >>> 15)) >>> 8) / 0x1000000 + 2 ** -25;
  };
}

// A code drawn from softmax(logits / temperature), the likeliest at 0, and its log probability at 1.
function draw(logits, temperature, random) {
  let best = 0;
  for (let code = 1; code < logits.length; code++) if (logits[code] > logits[best]) best = code;
  const top = logits[best];
  let all = 0, warm = 0;
  for (const logit of logits) all += Math.exp(logit - top);
  if (temperature > 0) {
    for (const logit of logits) warm += Math.exp((logit - top) / temperature);
    let left = random() * warm;
    for (let code = 0; code < logits.length; code++) {
      left -= Math.exp((logits[code] - top) / temperature);
      if (left < 0) { best = code; break; }
    }
  }
  return [best, logits[best] - top - Math.log(all)];
}

// logitsOf: tokens (Int32Array) -> their logits, row by row. Every step draws all hidden tokens and keeps
// those that it is surest of.
export async function drawFrame(logitsOf, { tokens, codes, steps, temperature, random }) {
  const ids = new Int32Array(tokens).fill(codes);
  const counts = hiddenAfter(tokens, steps);
  for (let step = 0; step < counts.length; step++) {
    const logits = await logitsOf(ids);
    const left = 1 - (step + 1) / counts.length;
    const drawn = [];
    for (let place = 0; place < tokens; place++) {
      if (ids[place] !== codes) continue;
      const [code, sure] = draw(logits.subarray(place * codes, (place + 1) * codes), temperature, random);
      const doubt = temperature && left ? -Math.log(-Math.log(random())) * temperature * left : 0;
      drawn.push({ place, code, sure: sure + doubt });
    }
    drawn.sort((one, other) => one.sure - other.sure || one.place - other.place);
    for (const { place, code } of drawn.slice(counts[step])) ids[place] = code;
  }
  return ids;
}
