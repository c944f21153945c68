// The earpiece, with Twilio's buffer: audio plays in the order it came, a mark comes back when all before it
// has played, clear drops what has not and gives the marks back at once.
// https://www.twilio.com/docs/voice/media-streams/websocket-messages
//
// In:  {media: Uint8Array}, {mark: name}, {clear: true}, {loss: boolean}.
// Out: {played: [names]} and {frame: Uint8Array of 160 bytes}, fifty a second: what the ear got.

import { Loss } from "./bad-line.js";
import { decode, FRAME_BYTES, RATE_HZ, SILENCE } from "./mulaw.js";
import { Resampler } from "./resampler.js";

const PULL = 8; // samples at a time: 1 ms, which is how exact a mark is

class Play extends AudioWorkletProcessor {
  constructor() {
    super();
    this.resampler = new Resampler(RATE_HZ, sampleRate);
    this.ready = []; // samples at the rate of the loudspeaker
    this.queue = [];
    this.offset = 0; // bytes of the first in the queue that have played
    this.queued = 0; // bytes that ever came in
    this.played = 0; // and went out or were dropped
    this.marks = []; // {name, at}: due when `played` reaches `at`
    this.frame = new Uint8Array(FRAME_BYTES);
    this.filled = 0;
    this.losing = false;
    this.loss = new Loss();
    this.port.onmessage = ({ data }) => this.take(data);
  }

  take(order) {
    if ("media" in order) {
      this.queue.push(order.media);
      this.queued += order.media.length;
    } else if ("mark" in order) {
      this.marks.push({ name: order.mark, at: this.queued });
      this.returnMarks();
    } else if ("clear" in order) {
      this.queue = [];
      this.offset = 0;
      this.played = this.queued;
      this.returnMarks();
    } else if ("loss" in order) {
      this.loss.on = order.loss;
    }
  }

  returnMarks() {
    let due = 0;
    while (due < this.marks.length && this.marks[due].at <= this.played) due++;
    if (due) this.port.postMessage({ played: this.marks.splice(0, due).map((mark) => mark.name) });
  }

  nextByte() {
    if (!this.queue.length) return SILENCE;
    const byte = this.queue[0][this.offset++];
    this.played++;
    if (this.offset === this.queue[0].length) {
      this.queue.shift();
      this.offset = 0;
    }
    return byte;
  }

  pull() {
    const samples = new Float32Array(PULL);
    for (let i = 0; i < PULL; i++) {
      const byte = this.nextByte();
      const heard = this.losing ? SILENCE : byte;
      samples[i] = decode(heard);
      this.frame[this.filled++] = heard;
      if (this.filled === FRAME_BYTES) {
        this.port.postMessage({ frame: this.frame });
        this.frame = new Uint8Array(FRAME_BYTES);
        this.filled = 0;
        this.losing = this.loss.next();
      }
    }
    this.returnMarks();
    this.ready.push(...this.resampler.push(samples));
  }

  process(_inputs, [channels]) {
    const size = channels[0].length;
    while (this.ready.length < size) this.pull();
    const samples = this.ready.splice(0, size);
    for (const channel of channels) channel.set(samples);
    return true;
  }
}

registerProcessor("play", Play);
