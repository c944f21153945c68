// What a bad line does to a call: packets that get lost in bursts, and noise around the caller.

export const LOSS = 0.05; // of all frames
const BURST = 3; // frames, on average
const NOISE = 0.02; // about -38 dB of full scale: a street, some metres away

/** Says of each frame whether it gets lost. */
export class Loss {
  constructor() {
    this.on = false;
    this.losing = false;
  }

  next() {
    if (!this.on) return false;
    const turn = this.losing ? 1 / BURST : LOSS / (1 - LOSS) / BURST;
    if (Math.random() < turn) this.losing = !this.losing;
    return this.losing;
  }
}

/** Noise with more bass than treble, as traffic has it. */
export class Noise {
  constructor() {
    this.on = false;
    this.last = 0;
  }

  next() {
    if (!this.on) return 0;
    this.last = 0.9 * this.last + NOISE * 0.75 * (Math.random() * 2 - 1);
    return this.last;
  }
}
