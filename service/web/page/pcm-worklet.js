// Brings sound to another rate, by lines between its samples, and gives it as 16-bit integers. What the new rate cannot
// hold has to be taken out before.

const CHUNK_S = 0.06;

class PcmProcessor extends AudioWorkletProcessor {
  #step; // in samples of the source
  #place = 0; // of the next sample, counted from the last one of the block before
  #before = 0; // that one
  #chunk;
  #filled = 0;

  constructor({ processorOptions: { rate } }) {
    super();
    this.#step = sampleRate / rate;
    this.#chunk = new Int16Array(rate * CHUNK_S);
  }

  process([[samples]]) {
    if (!samples) return true;
    const at = (index) => (index === 0 ? this.#before : samples[index - 1]);
    for (; this.#place < samples.length; this.#place += this.#step) {
      const index = Math.floor(this.#place);
      const part = this.#place - index;
      this.#add(at(index) * (1 - part) + at(index + 1) * part);
    }
    this.#place -= samples.length;
    this.#before = samples[samples.length - 1];
    return true;
  }

  #add(sample) {
    this.#chunk[this.#filled] = Math.round(Math.max(-1, Math.min(1, sample)) * 32767);
    this.#filled += 1;
    if (this.#filled < this.#chunk.length) return;
    const whole = this.#chunk.slice();
    this.port.postMessage(whole, [whole.buffer]);
    this.#filled = 0;
  }
}

registerProcessor("pcm", PcmProcessor);
