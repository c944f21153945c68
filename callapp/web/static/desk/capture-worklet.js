// The mouthpiece: the microphone's samples become frames of 20 ms mu-law, in the audio thread.
//
// Out: {frame: Uint8Array of 160 bytes, lost: boolean}, fifty a second, silence included, as a phone sends it.
// In:  {muted}, {noise}, {loss}: booleans.

import { Loss, Noise } from "./bad-line.js";
import { encode, FRAME_BYTES, RATE_HZ, SILENCE } from "./mulaw.js";
import { Resampler } from "./resampler.js";

const QUANTUM = 128;

class Capture extends AudioWorkletProcessor {
  constructor() {
    super();
    this.resampler = new Resampler(sampleRate, RATE_HZ);
    this.frame = new Uint8Array(FRAME_BYTES);
    this.filled = 0;
    this.muted = false;
    this.noise = new Noise();
    this.loss = new Loss();
    this.port.onmessage = ({ data }) => {
      if ("muted" in data) this.muted = data.muted;
      if ("noise" in data) this.noise.on = data.noise;
      if ("loss" in data) this.loss.on = data.loss;
    };
  }

  process([channels]) {
    const heard = channels.length ? channels[0] : new Float32Array(QUANTUM);
    for (const sample of this.resampler.push(heard)) {
      const noise = this.noise.next();
      this.frame[this.filled++] = this.muted ? SILENCE : encode(sample + noise);
      if (this.filled === FRAME_BYTES) {
        this.port.postMessage({ frame: this.frame, lost: this.loss.next() });
        this.frame = new Uint8Array(FRAME_BYTES);
        this.filled = 0;
      }
    }
    return true;
  }
}

registerProcessor("capture", Capture);
