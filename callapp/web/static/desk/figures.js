// How long people wait for each other, by ear: from the loudness of both sides, 20 ms at a time.

import { levelDb } from "./mulaw.js";

const FRAME_MS = 20;
const LOUD_DB = -42; // a voice is louder, the noise of a room is not
const PAUSE_MS = 300; // less is a pause within a sentence

export class Figures {
  constructor() {
    this.firstSoundMs = null;
    this.voiceToVoiceMs = [];
    this.bargeInMs = [];
    this.you = new Side();
    this.them = new Side();
    this.answered = true; // nothing of yours waits for an answer
    this.interruptedAtMs = null;
  }

  /** 20 ms of your voice, as it left. */
  spoken(frame) {
    if (this.you.hear(frame) && this.them.speaking) this.interruptedAtMs ??= this.you.atMs;
    if (this.you.loud) this.answered = false;
    return this.you.db;
  }

  /** 20 ms of what your ear got. */
  heard(frame) {
    const begins = this.them.hear(frame);
    const { them, you } = this;
    if (begins) {
      this.firstSoundMs ??= them.atMs;
      if (!this.answered && this.interruptedAtMs === null) this.voiceToVoiceMs.push(them.atMs - you.loudAtMs);
      this.answered = true;
    }
    if (this.interruptedAtMs !== null && !them.speaking) {
      this.bargeInMs.push(Math.max(0, them.loudAtMs - this.interruptedAtMs));
      this.interruptedAtMs = null;
      this.answered = false;
    }
    return them.db;
  }
}

class Side {
  constructor() {
    this.atMs = -FRAME_MS; // begin of the newest frame
    this.loudAtMs = -Infinity; // end of the newest loud one
    this.db = -100;
  }

  /** Take a frame; whether speech begins with it. */
  hear(frame) {
    this.atMs += FRAME_MS;
    this.db = levelDb(frame);
    this.loud = this.db > LOUD_DB;
    const begins = this.loud && !this.speaking;
    if (this.loud) this.loudAtMs = this.atMs + FRAME_MS;
    return begins;
  }

  get speaking() {
    return this.atMs - this.loudAtMs < PAUSE_MS;
  }
}
