// The line: Twilio's side of a media stream. connected, start, media, mark, dtmf and stop go out; media, mark
// and clear come in. https://www.twilio.com/docs/voice/media-streams/websocket-messages

import { FRAME_BYTES, RATE_HZ } from "./mulaw.js";
import { PATIENCE_MS } from "./watch.js";

const FRAME_MS = (FRAME_BYTES / RATE_HZ) * 1000;
const NORMAL = 1000;

export class Line {
  /**
   * @param {string} url of the media socket.
   * @param {{callSid: string, streamSid: string, subprotocols: string[], parameters: Object}} order
   * @param {{started: Function, media: Function, mark: Function, clear: Function, closed: Function}} on
   *   `closed` gets {started, silent, clean}; it is called once, however the line ends, and at once where we hang
   *   up. `silent`: the server said nothing at all.
   */
  constructor(url, order, on) {
    this.order = order;
    this.on = on;
    this.sequence = 0;
    this.chunk = 0;
    this.frames = 0;
    this.started = false;
    this.silent = false;
    this.socket = new WebSocket(url, order.subprotocols);
    this.socket.onopen = () => this.start();
    this.socket.onmessage = ({ data }) => this.receive(JSON.parse(data));
    this.socket.onclose = ({ code }) => this.over(code === NORMAL);
    setTimeout(() => this.giveUp(), PATIENCE_MS);
  }

  /** Where the server has not even answered: the browser would wait for minutes. */
  giveUp() {
    if (this.socket.readyState !== WebSocket.CONNECTING) return;
    this.silent = true;
    this.socket.close();
  }

  start() {
    const { callSid, streamSid, parameters } = this.order;
    this.socket.send(JSON.stringify({ event: "connected", protocol: "Call", version: "1.0.0" }));
    this.send("start", {
      accountSid: "",
      streamSid,
      callSid,
      tracks: ["inbound"],
      mediaFormat: { encoding: "audio/x-mulaw", sampleRate: RATE_HZ, channels: 1 },
      customParameters: parameters,
    });
    this.started = true;
    this.on.started();
  }

  receive(message) {
    if (message.streamSid !== this.order.streamSid) return;
    if (message.event === "media") {
      this.on.media(Uint8Array.from(atob(message.media.payload), (letter) => letter.charCodeAt(0)));
    } else if (message.event === "mark") {
      this.on.mark(message.mark.name);
    } else if (message.event === "clear") {
      this.on.clear();
    }
  }

  /** Send 20 ms of the caller's voice; a lost one leaves a gap in time, as it does at Twilio. */
  speak(frame, lost) {
    const timestamp = String(this.frames++ * FRAME_MS);
    if (lost) return;
    this.send("media", {
      track: "inbound",
      chunk: String(++this.chunk),
      timestamp,
      payload: btoa(String.fromCharCode(...frame)),
    });
  }

  press(digit) {
    this.send("dtmf", { track: "inbound_track", digit });
  }

  markPlayed(name) {
    this.send("mark", { name });
  }

  hangUp() {
    this.send("stop", { accountSid: "", callSid: this.order.callSid });
    this.socket.onclose = null; // a browser waits a minute for a server that is out of reach to confirm it
    this.socket.close(NORMAL);
    this.over(true);
  }

  over(clean) {
    this.on.closed({ started: this.started, silent: this.silent, clean });
  }

  send(event, body) {
    if (this.socket.readyState !== WebSocket.OPEN) return;
    const { streamSid } = this.order;
    this.socket.send(
      JSON.stringify({ event, sequenceNumber: String(++this.sequence), streamSid, [event]: body }),
    );
  }
}
