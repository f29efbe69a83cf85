// Frames per second, and how long a key takes to be seen.
const WINDOW = 2000; // milliseconds that a rate is taken over
const KEPT = 200; // latencies

export class Pace {
  #times = [];

  tick(now) {
    this.#times.push(now);
    while (this.#times[0] < now - WINDOW) this.#times.shift();
  }

  rate(now) {
    const first = this.#times[0];
    return this.#times.length < 2 || now === first ? 0 : (1000 * (this.#times.length - 1)) / (now - first);
  }

  forget() {
    this.#times = [];
  }
}

export class Latencies {
  #values = [];

  add(value) {
    this.#values.push(value);
    if (this.#values.length > KEPT) this.#values.shift();
  }

  told() {
    if (!this.#values.length) return "–";
    const sorted = [...this.#values].sort((one, other) => one - other);
    const at = (share) => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))].toFixed(0);
    return `${at(0.5)}, p95 ${at(0.95)}`;
  }
}
