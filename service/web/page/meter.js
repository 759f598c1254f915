// How live it is: from a movement to its picture, how many pictures come, and which movements were sent and are shown.
// Read in tests and by benchmarks.

const KEPT = 50; // latencies that the median is taken of
const SPAN_MS = 2000; // in which pictures are counted

export class Meter {
  #sent = new Map(); // number -> when
  #latencies = [];
  #pictures = [];

  constructor(element) {
    this.element = element;
  }

  sent(number) {
    this.#sent.set(number, performance.now());
    this.element.dataset.sent = number;
  }

  shown(number) {
    const now = performance.now();
    this.element.dataset.shown = number;
    if (this.#sent.has(number)) this.#latencies = [...this.#latencies, now - this.#sent.get(number)].slice(-KEPT);
    for (const each of this.#sent.keys()) if (each <= number) this.#sent.delete(each);
    this.#pictures = [...this.#pictures.filter((when) => when > now - SPAN_MS), now];
    const ordered = [...this.#latencies].sort((one, other) => one - other);
    if (ordered.length) this.element.dataset.latencyMs = Math.round(ordered[ordered.length >> 1]);
    this.element.dataset.picturesPerSecond = (this.#pictures.length / (SPAN_MS / 1000)).toFixed(1);
  }
}
