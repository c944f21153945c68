// Both sides of a call as a stereo WAV: you left, the agent right; mu-law as it was sent and heard.

import { FRAME_BYTES, RATE_HZ, SILENCE } from "./mulaw.js";

const MULAW = 7; // https://www.rfc-editor.org/rfc/rfc2361#appendix-A
const CHANNELS = 2;

export class Recording {
  constructor() {
    this.you = [];
    this.them = [];
  }

  /** The whole of it, as a file. */
  wav() {
    const frames = Math.max(this.you.length, this.them.length);
    const sound = new Uint8Array(CHANNELS * FRAME_BYTES * frames).fill(SILENCE);
    [this.you, this.them].forEach((side, channel) => {
      let at = channel;
      for (const frame of side) {
        for (const byte of frame) {
          sound[at] = byte;
          at += CHANNELS;
        }
      }
    });
    return new Blob([header(sound.length), sound], { type: "audio/wav" });
  }
}

function header(size) {
  const view = new DataView(new ArrayBuffer(58));
  const text = (at, letters) => [...letters].forEach((l, i) => view.setUint8(at + i, l.charCodeAt(0)));
  text(0, "RIFF");
  view.setUint32(4, 50 + size, true);
  text(8, "WAVEfmt ");
  view.setUint32(16, 18, true);
  view.setUint16(20, MULAW, true);
  view.setUint16(22, CHANNELS, true);
  view.setUint32(24, RATE_HZ, true);
  view.setUint32(28, CHANNELS * RATE_HZ, true);
  view.setUint16(32, CHANNELS, true);
  view.setUint16(34, 8, true); // bits
  view.setUint16(36, 0, true); // no more of the format
  text(38, "fact"); // asked for where it is not PCM
  view.setUint32(42, 4, true);
  view.setUint32(46, size / CHANNELS, true);
  text(50, "data");
  view.setUint32(54, size, true);
  return view.buffer;
}
