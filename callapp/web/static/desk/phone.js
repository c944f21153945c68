// The page: one call at a time, from the button to the last figure.

import { Figures } from "./figures.js";
import { Handset, NotLoaded } from "./handset.js";
import { Line } from "./line.js";
import { Parameters } from "./parameters.js";
import { Recording } from "./recording.js";
import { follow } from "./story.js";
import { PATIENCE_MS } from "./watch.js";

const $ = (id) => document.getElementById(id);
const phone = $("phone");
const words = $("words").dataset;
const parameters = new Parameters($("agent"), $("parameters"));
const METER_DB = -60;
const KEYS = /^[0-9*#]$/;
const WRITTEN_DOWN_MS = 700; // what is said reaches the database a little later
const PRESSED_TWICE_MS = 1000; // the button that calls takes the place, and the focus, of the one that hangs up

class Call {
  /** Runs until it is over; then `over` is called with what to say, if anything. */
  constructor(order, handset, over) {
    this.handset = handset;
    this.over = over;
    this.figures = new Figures();
    this.recording = new Recording();
    this.beganMs = null;
    const url = new URL("/ws", location.href);
    url.protocol = url.protocol.replace("http", "ws");
    this.line = new Line(url.href, order, {
      started: () => this.started(),
      media: (bytes) => handset.play(bytes),
      mark: (name) => handset.mark(name),
      clear: () => handset.clear(),
      closed: (how) => this.closed(how),
    });
  }

  started() {
    this.beganMs = performance.now();
    show("live", words.live);
    const now = `calls/${this.line.order.callSid}/now`;
    const timer = setTimeout(() => (unfollow = follow($("now"), now)), WRITTEN_DOWN_MS);
    unfollow = () => clearTimeout(timer);
  }

  spoken(frame, lost) {
    if (this.beganMs === null) return;
    this.line.speak(frame, lost);
    this.recording.you.push(frame);
    meter($("you"), this.figures.spoken(frame));
  }

  heard(frame) {
    if (this.beganMs === null) return;
    this.recording.them.push(frame);
    meter($("them"), this.figures.heard(frame));
    tell(this.figures);
  }

  press(key) {
    this.line.press(key);
    this.handset.beep(key);
  }

  hangUp() {
    this.line.hangUp();
  }

  closed({ started, silent, clean }) {
    this.handset.hangUp();
    this.over(silent ? words.unreachable : !started ? words.refused : clean ? "" : words.lost);
  }
}

let handset = null;
let call = null;
let hungUpMs = -Infinity;
let unfollow = () => {};

// -- the form ----------------------------------------------------------------------------------

async function orderCall() {
  const answer = await fetch(phone.dataset.calls, {
    method: "POST",
    headers: { "Content-Type": "application/json", Accept: "application/json", "X-CSRFToken": phone.dataset.csrf },
    body: JSON.stringify({ agent: $("agent").value, parameters: parameters.filled }),
    signal: AbortSignal.timeout(PATIENCE_MS),
  });
  const body = await answer.json();
  if (!answer.ok) throw new Fault(body.detail);
  return body;
}

class Fault extends Error {}

async function dial() {
  reset();
  if (!navigator.mediaDevices) return end(words.insecure);
  show("microphone", words.microphone);
  try {
    handset = await Handset.pickUp(
      { capture: phone.dataset.capture, play: phone.dataset.play },
      {
        spoken: (frame, lost) => call?.spoken(frame, lost),
        heard: (frame) => call?.heard(frame),
        played: (names) => names.forEach((name) => call?.line.markPlayed(name)),
      },
    );
  } catch (error) {
    console.warn("handset:", error.name, error.message);
    return end(error instanceof NotLoaded ? words.unreachable : words.noMicrophone);
  }
  handset.set({ muted: isMuted(), noise: $("noise").checked, loss: $("loss").checked });
  show("dialling", words.dialling);
  try {
    const order = await orderCall();
    $("call-sid").textContent = order.callSid;
    $("call-sid").href = `calls/${order.callSid}`;
    say($("opening"), words.opening, order.opening);
    say($("closing"), words.closing, order.closing);
    call = new Call(order, handset, end);
  } catch (error) {
    handset.hangUp();
    end(error instanceof Fault ? error.message : words.unreachable);
  }
}

function end(fault) {
  if (call?.recording.them.length) {
    $("recording").href = URL.createObjectURL(call.recording.wav());
    $("recording").download = `${$("call-sid").textContent}.wav`;
    $("recording").hidden = false;
  }
  call = null;
  handset = null;
  meter($("you"), -100);
  meter($("them"), -100);
  show("idle", fault || !$("recording").href ? words.ready : words.over);
  $("fault").textContent = fault || "";
  $("fault").hidden = !fault;
  $("call").focus({ preventScroll: true }); // who reads what was said reads on
}

// -- what is shown -----------------------------------------------------------------------------

function reset() {
  URL.revokeObjectURL($("recording").href);
  $("recording").removeAttribute("href");
  for (const id of ["recording", "fault", "opening", "closing"]) $(id).hidden = true;
  tell(new Figures());
  $("call-sid").textContent = "–";
  $("call-sid").removeAttribute("href");
  unfollow();
  $("now").replaceChildren();
  $("clock").textContent = "0:00";
}

function show(state, text) {
  const busy = state !== "idle";
  phone.dataset.state = state;
  $("state").textContent = text;
  $("call").hidden = busy;
  $("hang-up").hidden = !busy;
  $("hang-up").disabled = state !== "live";
  $("agent").disabled = busy;
  for (const input of parameters.inputs) input.disabled = busy;
  for (const button of [...$("keypad").children, $("mute")]) button.disabled = state !== "live";
  if (state === "live") $("hang-up").focus();
}

function meter(element, db) {
  const level = Math.min(0, Math.max(METER_DB, Math.round(db)));
  if (element.ariaValueNow === String(level)) return;
  element.ariaValueNow = String(level);
  element.firstElementChild.style.transform = `scaleX(${1 - level / METER_DB})`;
}

function tell({ firstSoundMs, voiceToVoiceMs, bargeInMs }) {
  write($("first-sound"), firstSoundMs === null ? [] : [firstSoundMs]);
  write($("voice-to-voice"), voiceToVoiceMs);
  write($("barge-in"), bargeInMs);
}

/** Durations as people read them. */
function write(element, all) {
  const text = all.length ? `${all.map(Math.round).join(" · ")} ms` : "–";
  if (element.textContent !== text) element.textContent = text;
}

function say(element, intro, line) {
  element.textContent = line ? `${intro} ${line}` : "";
  element.hidden = !line;
}

function isMuted() {
  return $("mute").ariaPressed === "true";
}

setInterval(() => {
  if (!call || call.beganMs === null) return;
  const seconds = Math.floor((performance.now() - call.beganMs) / 1000);
  $("clock").textContent = `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
}, 250);

// -- what is done ------------------------------------------------------------------------------

$("order").addEventListener("submit", (event) => {
  event.preventDefault();
  if (phone.dataset.state === "idle" && performance.now() - hungUpMs > PRESSED_TWICE_MS) dial();
});
$("hang-up").addEventListener("click", () => {
  hungUpMs = performance.now();
  call?.hangUp();
});
$("mute").addEventListener("click", () => {
  $("mute").ariaPressed = String(!isMuted());
  handset?.set({ muted: isMuted() });
});
$("keypad").addEventListener("click", ({ target }) => {
  const { key } = target.closest("button")?.dataset ?? {};
  if (key) call?.press(key);
});
for (const name of ["noise", "loss"]) {
  $(name).addEventListener("change", () => handset?.set({ [name]: $(name).checked }));
}
document.addEventListener("keydown", (event) => {
  const typing = event.target.matches("input:not([type=checkbox]), select");
  if (!typing && !event.repeat && !event.ctrlKey && !event.metaKey && !event.altKey && KEYS.test(event.key)) {
    call?.press(event.key);
  }
});
addEventListener("pagehide", () => call?.hangUp());
