// The handset: microphone and loudspeaker, each with a worklet that speaks the phone's mu-law.

import { PATIENCE_MS } from "./watch.js";

const TONES_HZ = {
  rows: [697, 770, 852, 941],
  columns: [1209, 1336, 1477],
  keys: "123456789*0#",
};
const TONE_S = 0.12;
const TONE_GAIN = 0.06;

/** The worklets, which come from the server, did not. */
export class NotLoaded extends Error {}

export class Handset {
  /**
   * Pick it up: asks for the microphone. Throws what the browser says of that, or `NotLoaded`.
   * @param {{capture: string, play: string}} modules URLs of the two worklets.
   * @param {{spoken: Function, heard: Function, played: Function}} on
   */
  static async pickUp(modules, on) {
    const microphone = await navigator.mediaDevices.getUserMedia({
      audio: { channelCount: 1, echoCancellation: true, noiseSuppression: false, autoGainControl: true },
    });
    const context = new AudioContext({ latencyHint: "interactive" });
    try {
      const { audioWorklet } = context;
      const loaded = Promise.all([audioWorklet.addModule(modules.capture), audioWorklet.addModule(modules.play)]);
      const late = new Promise((_, fail) => setTimeout(fail, PATIENCE_MS, new Error("they did not come in time")));
      await Promise.race([loaded, late]);
      await context.resume();
      return new Handset(context, microphone, on);
    } catch (error) {
      microphone.getTracks().forEach((track) => track.stop());
      await context.close();
      throw new NotLoaded(error.message);
    }
  }

  constructor(context, microphone, on) {
    this.context = context;
    this.microphone = microphone;
    this.mouth = new AudioWorkletNode(context, "capture", {
      numberOfOutputs: 1, // some browsers do not run a node that leads nowhere
      channelCount: 1,
      channelCountMode: "explicit",
    });
    this.ear = new AudioWorkletNode(context, "play", { numberOfInputs: 0, outputChannelCount: [1] });
    this.mouth.port.onmessage = ({ data }) => on.spoken(data.frame, data.lost);
    this.ear.port.onmessage = ({ data }) => {
      if (data.frame) on.heard(data.frame);
      else on.played(data.played);
    };
    context.createMediaStreamSource(microphone).connect(this.mouth).connect(context.destination);
    this.ear.connect(context.destination);
  }

  play(media) {
    this.ear.port.postMessage({ media });
  }

  mark(name) {
    this.ear.port.postMessage({ mark: name });
  }

  clear() {
    this.ear.port.postMessage({ clear: true });
  }

  /** @param {{muted?: boolean, noise?: boolean, loss?: boolean}} state */
  set(state) {
    this.mouth.port.postMessage(state);
    if ("loss" in state) this.ear.port.postMessage({ loss: state.loss });
  }

  /** Let the tone of a key be heard here; the agent is told of the key otherwise. */
  beep(key) {
    const place = TONES_HZ.keys.indexOf(key);
    const gain = new GainNode(this.context, { gain: TONE_GAIN });
    gain.connect(this.context.destination);
    for (const frequency of [TONES_HZ.rows[Math.floor(place / 3)], TONES_HZ.columns[place % 3]]) {
      const tone = new OscillatorNode(this.context, { frequency });
      tone.connect(gain);
      tone.start();
      tone.stop(this.context.currentTime + TONE_S);
    }
  }

  hangUp() {
    this.microphone.getTracks().forEach((track) => track.stop());
    this.context.close();
  }
}
