// Answers questions, JSON on stdin, by the page's sampling.js.
import { readFileSync } from "node:fs";

const { drawFrame, hiddenAfter, randomOf } = await import(process.argv[2]);
const asked = JSON.parse(readFileSync(0, "utf8"));
const schedules = asked.schedules.map(([tokens, steps]) => hiddenAfter(tokens, steps));
const { tables, tokens, codes, steps } = asked.frame;

async function frame(temperature, seed, table) {
  const seen = [];
  // Logits depend on what is known: the number of tokens that are hidden chooses the table.
  const logitsOf = async (ids) => {
    const hidden = ids.filter((code) => code === codes).length;
    seen.push(hidden);
    return Float32Array.from((table ?? tables[String(hidden)]).flat());
  };
  const told = { tokens, codes, steps: table ? 1 : steps, temperature, random: randomOf(seed, 3) };
  const ids = await drawFrame(logitsOf, told);
  return { ids: [...ids], seen };
}

const counts = asked.logits.map(() => 0);
for (let seed = 0; seed < asked.draws; seed++) {
  const table = Array.from({ length: tokens }, () => asked.logits);
  for (const code of (await frame(asked.temperature, seed, table)).ids) counts[code]++;
}
const random = randomOf(5, 0);
const uniform = Array.from({ length: 20000 }, random);
console.log(JSON.stringify({ schedules, likeliest: await frame(0, 1), again: await frame(1, 7), same: await frame(1, 7), counts, uniform }));
