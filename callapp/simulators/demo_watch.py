"""What happens on the wires of a demo's call, put into words as it happens.

The agent's lines are what the phone's ear got, byte for byte laid beside what the model sent, by the
play-out clock. The caller's lines are the transcripts the model made of what reached it. Nothing
here knows what anybody was going to say.
"""

from __future__ import annotations

import base64
import json
import time
from contextlib import suppress
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import Any, Literal

from callapp.simulators.callee import Spoken
from callapp.simulators.carrier import Carrier
from callapp.simulators.model import PretendModel
from callapp.simulators.model_session import Session
from callapp.simulators.phone_record import CallRecord
from callapp.simulators.phone_stream import PhoneStream
from callapp.simulators.playout import BYTE_NS, Chunk
from callapp.simulators.sound import FRAME_BYTES
from callapp.simulators.ulaw import BYTES_PER_MS, level_dbfs

Who = Literal["callapp", "Twilio", "model", "caller", "agent", "other"]

_STATUS_WORDS = {"in-progress": "answered"}
_METER_FRAMES = 24


@dataclass
class Line:
    """A line of the transcript; it may grow until it is ``done``.

    Args:
        at_s: when it began, by ``time.monotonic()``.
        speech: somebody's words, not something that happened.
        cut: the words were cut off here.
        levels: while somebody speaks whose words are not known yet, how loud, in dBFS.
    """

    at_s: float
    who: Who
    text: str = ""
    speech: bool = False
    done: bool = True
    cut: bool = False
    notes: list[str] = field(default_factory=list)
    levels: list[float] = field(default_factory=list)


@dataclass
class AgentItem:
    """A spoken item of the model: what it sent, and what of it came to the phone."""

    line: Line
    text: str = ""
    audio: bytearray = field(default_factory=bytearray)
    ended: bool = False
    chunks: list[Chunk] = field(default_factory=list)
    truncated_ms: int | None = None
    deleted: bool = False
    first_delta_s: float = 0.0

    @property
    def sent_bytes(self) -> int:
        """How much of it was sent to the phone."""
        return sum(len(chunk.audio) for chunk in self.chunks)

    @property
    def cut(self) -> bool:
        """Whether a clear took some of it."""
        return any(chunk.kept < len(chunk.audio) for chunk in self.chunks)

    def heard_bytes(self, at_ns: int) -> int:
        """How much of it had been heard at a time of the stream."""
        return sum(chunk.heard_bytes(at_ns) for chunk in self.chunks)

    @property
    def sent_ms(self) -> float:
        return self.sent_bytes / BYTES_PER_MS

    @property
    def heard_ms(self) -> float:
        """How much of it was heard before it was over, or cut."""
        return sum(chunk.kept for chunk in self.chunks) / BYTES_PER_MS


class Watch:
    """Looks at both ends of the call, again and again; ``lines`` is what it has seen.

    ``note`` is for the carrier's ``on_note`` and comes in its thread; all else belongs to one other.
    """

    def __init__(self) -> None:
        self.lines: list[Line] = []
        self.items: list[AgentItem] = []
        self.foreign: list[str] = []
        """Audio at the phone that the model never sent."""
        self.call: CallRecord | None = None
        self.session: Session | None = None
        self._notes: SimpleQueue[tuple[float, CallRecord, str, str]] = SimpleQueue()
        self._requests = self._events = self._orders = self._chunks = self._spoken = 0
        self._by_id: dict[str, AgentItem] = {}
        self._tools: dict[str, Line] = {}
        self._utterances: list[Line] = []
        self._transcribed = 0
        self._told = ""  # of the session

    def note(self, call: CallRecord, name: str, detail: str) -> None:
        """Take a note of the carrier; from its thread."""
        self._notes.put((time.monotonic(), call, name, detail))

    def tell(self, who: Who, text: str, at_s: float) -> None:
        """Add a line of something that happened beside the call."""
        self.lines.append(Line(at_s, who, text))

    def look(self, carrier: Carrier, model: PretendModel) -> None:
        """See what is new since the last look."""
        self._take_notes()
        if self.call is None:
            return
        with self.call.changed:
            stream = self.call.stream if self.call.streams else None
            chunks = stream.playout.chunks[self._chunks :] if stream else []
            spoken = self.call.callee.spoken[self._spoken :]
            voice = bytes(stream.voice[-FRAME_BYTES:]) if stream else b""
            now_ns = _now_ns(stream) if stream else 0
        # The model keeps what it sends before it sends it, so every chunk's delta is there by now.
        if self.session is None and model.sessions:
            self.session = model.sessions[0]
        if self.session is not None:
            self._take_events(self.session)
            self._take_orders(self.session)
        if stream is not None:
            self._take_chunks(stream, chunks)
            self._take_spoken(stream, spoken, voice)
            self._play(now_ns)
        for request in carrier.requests[self._requests :]:
            self._requests += 1
            asked = " ".join(f"{name}={values[-1]}" for name, values in request.form.items())
            if request.path.endswith(f"/{self.call.sid}.json"):
                where = f"…/Calls/{self.call.sid[:6]}….json"
                words = f"{request.method} {where} {asked} → {request.status}"
                self.lines.append(Line(request.at_s, "callapp", words))

    # The carrier

    def _take_notes(self) -> None:
        while True:
            try:
                at_s, call, name, detail = self._notes.get_nowait()
            except Empty:
                return
            self.call = self.call or call
            match name:
                case "status" if detail != "queued":
                    self.lines.append(Line(at_s, "Twilio", _STATUS_WORDS.get(detail, detail)))
                case "say":
                    self.lines.append(Line(at_s, "Twilio", detail, speech=True))
                case "fault":
                    self.lines.append(Line(at_s, "Twilio", f"error {detail}"))

    # The model

    def _take_events(self, session: Session) -> None:
        for recorded in session.sent[self._events :]:
            self._events += 1
            event, at_s = recorded.event, recorded.at_s
            match event["type"]:
                case "session.updated":
                    self._take_session(_session_words(event["session"]), at_s)
                case "response.output_audio.delta":
                    item = self._item(event["item_id"], at_s)
                    item.first_delta_s = item.first_delta_s or at_s
                    item.audio += base64.b64decode(event["delta"])
                case "response.output_audio_transcript.delta":
                    self._item(event["item_id"], at_s).text += event["delta"]
                case "response.output_audio.done":
                    self._item(event["item_id"], at_s).ended = True
                case "response.function_call_arguments.done":
                    line = Line(at_s, "model", _call_words(event["name"], event["arguments"]), done=False)
                    self._tools[event["call_id"]] = line
                    self.lines.append(line)
                case "conversation.item.input_audio_transcription.completed":
                    self._take_transcript(event["transcript"], at_s)
                case "error":
                    self.lines.append(Line(at_s, "model", f"error {event['error']['message']}"))

    def _take_session(self, words: str, at_s: float) -> None:
        """Tell what session it is, once: it is updated in mid-call, too, for its timer of silences."""
        if words != self._told:
            self._told = words
            self.lines.append(Line(at_s, "model", words))

    def _item(self, item_id: str, at_s: float) -> AgentItem:
        if item_id not in self._by_id:
            item = AgentItem(Line(at_s, "agent", speech=True, done=False))
            self._by_id[item_id] = item
            self.items.append(item)
        return self._by_id[item_id]

    def _take_transcript(self, text: str, at_s: float) -> None:
        if self._transcribed == len(self._utterances):
            self._utterances.append(self._utterance(at_s))
        line = self._utterances[self._transcribed]
        self._transcribed += 1
        line.text, line.done, line.levels = text, True, []

    def _take_orders(self, session: Session) -> None:
        for recorded in session.received[self._orders :]:
            self._orders += 1
            event = recorded.event
            match event.get("type"):
                case "conversation.item.truncate" if event.get("item_id") in self._by_id:
                    self._by_id[event["item_id"]].truncated_ms = event["audio_end_ms"]
                case "conversation.item.delete" if event.get("item_id") in self._by_id:
                    self._by_id[event["item_id"]].deleted = True
                case "conversation.item.create":
                    item: dict[str, Any] = event.get("item", {})
                    tool = self._tools.get(item.get("call_id", ""))
                    if tool is not None:
                        tool.text += f" → {item.get('output')}"
                        tool.done = True

    # The phone

    def _take_chunks(self, stream: PhoneStream, chunks: list[Chunk]) -> None:
        for chunk in chunks:
            self._chunks += 1
            owner = next((item for item in self.items if _continues(item, chunk)), None)
            if owner is None:
                self.foreign.append(f"{len(chunk.audio)} bytes at {chunk.arrived_ns / 1e6:.0f} ms")
                continue
            if not owner.chunks:
                owner.line.at_s = (stream.began_ns + chunk.starts_ns) / 1e9
                self.lines.append(owner.line)
            owner.chunks.append(chunk)

    def _take_spoken(self, stream: PhoneStream, spoken: list[Spoken], voice: bytes) -> None:
        for one in spoken:
            self._spoken += 1
            self._utterances.append(self._utterance(stream.began_ns / 1e9 + one.voice_starts_ms / 1000))
        for line in self._utterances:
            if not line.done:
                line.levels = [*line.levels, level_dbfs(voice)][-_METER_FRAMES:]

    def _utterance(self, at_s: float) -> Line:
        line = Line(at_s, "caller", speech=True, done=False)
        self.lines.append(line)
        return line

    def _play(self, now_ns: int) -> None:
        for item in self.items:
            line = item.line
            if line.done and not line.cut:
                continue
            heard = item.heard_bytes(now_ns)
            line.text = item.text[: -(-len(item.text) * heard // max(1, len(item.audio)))]
            if item.cut:
                line.cut = True
                line.notes = [f"interrupted: {cut_words(item)}"]
                line.done = item.truncated_ms is not None or item.deleted
            elif item.ended and heard == len(item.audio):
                line.done = True


def _now_ns(stream: PhoneStream) -> int:
    """How far the stream has come for sure: its last frame, or a mark since."""
    marked_ns = stream.playout.echoes[-1].returned_ns if stream.playout.echoes else 0
    return max(len(stream.voice) * BYTE_NS, marked_ns)


def cut_words(item: AgentItem) -> str:
    """Say how much of an interrupted item was sent and heard, and what the model was told of it."""
    words = f"{item.sent_ms:.0f} ms sent, {item.heard_ms:.0f} heard"
    if item.truncated_ms is not None:
        return f"{words}, truncated at {item.truncated_ms}"
    return f"{words}, deleted" if item.deleted else words


def _continues(item: AgentItem, chunk: Chunk) -> bool:
    begin = item.sent_bytes
    return bool(chunk.audio) and item.audio[begin : begin + len(chunk.audio)] == chunk.audio


def _call_words(name: str, arguments: str) -> str:
    with suppress(ValueError, AttributeError):  # cut short, or no object: shown as it is
        given = json.loads(arguments).items()
        arguments = ", ".join(f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in given)
    return f"calls {name}({arguments})"


def _session_words(session: dict[str, Any]) -> str:
    ways = {session["audio"][way]["format"]["type"] for way in ("input", "output")}
    return f"session of {session['model']}, {' and '.join(sorted(ways))} both ways"
