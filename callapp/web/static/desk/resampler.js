// From one sample rate to another, by a windowed sinc: what the lower rate cannot carry is filtered out
// first, so that no hiss of the microphone folds into the voice.

const ZERO_CROSSINGS = 16; // on either side; the transition band is then some 300 Hz wide at 8 kHz
const PASS = 0.9; // of the lower rate's half: 3.6 kHz of 4
const STEPS = 128; // entries of the table between two zero crossings

const table = new Float32Array(ZERO_CROSSINGS * STEPS + 2);
for (let i = 0; i < table.length; i++) {
  const x = i / STEPS;
  const window = x < ZERO_CROSSINGS ? 0.5 + 0.5 * Math.cos((Math.PI * x) / ZERO_CROSSINGS) : 0;
  table[i] = window * (x === 0 ? 1 : Math.sin(Math.PI * x) / (Math.PI * x));
}

export class Resampler {
  constructor(fromHz, toHz) {
    this.step = fromHz / toHz; // input samples from one output sample to the next
    this.scale = PASS * Math.min(1, toHz / fromHz); // zero crossings in an input sample
    this.reach = Math.ceil(ZERO_CROSSINGS / this.scale); // of the kernel, in input samples
    this.kept = new Float32Array(2 * this.reach); // silence came before
    this.at = this.reach; // of the next output sample, in `kept`
  }

  /** Take samples in; return what can be said of the output by now. */
  push(samples) {
    const input = new Float32Array(this.kept.length + samples.length);
    input.set(this.kept);
    input.set(samples, this.kept.length);
    const output = [];
    while (this.at + this.reach < input.length) {
      output.push(this.sampleAt(input, this.at));
      this.at += this.step;
    }
    const used = Math.max(0, Math.floor(this.at) - this.reach);
    this.kept = input.slice(used);
    this.at -= used;
    return output;
  }

  sampleAt(input, at) {
    const first = Math.max(0, Math.ceil(at - this.reach));
    const last = Math.min(input.length - 1, Math.floor(at + this.reach));
    let sum = 0;
    for (let i = first; i <= last; i++) {
      const place = Math.abs(at - i) * this.scale * STEPS;
      const index = Math.floor(place);
      if (index >= table.length - 1) continue;
      sum += input[i] * (table[index] + (place - index) * (table[index + 1] - table[index]));
    }
    return sum * this.scale;
  }
}
