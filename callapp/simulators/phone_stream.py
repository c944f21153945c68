"""The phone's side of one Media Stream, without the socket. Pure.

Texts in, texts out, and time as data: integer nanoseconds since the stream began. The layout of
the messages: https://www.twilio.com/docs/voice/media-streams/websocket-messages
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from callapp.simulators.callee import Callee
from callapp.simulators.playout import Playout
from callapp.simulators.sound import FRAME_BYTES, FRAME_MS, is_voiced, write_stereo_wav
from callapp.simulators.ulaw import BYTES_PER_MS

FRAME_NS = FRAME_MS * 1_000_000
_MS_NS = 1_000_000


@dataclass(frozen=True)
class Received:
    """A message from the application, as it came; ``at_ms`` of the stream."""

    at_ms: float
    text: str


class PhoneStream:
    """One stream: speaks for the callee, plays what it is sent, and keeps it all.

    ``violations`` lists what the application did against the protocol; a correct one leaves it
    empty.

    Args:
        tracks: what goes out: ``inbound`` is what the phone says, ``outbound`` what it hears.
        ear: is told all that the callee says, frame by frame.
        reversed_keys: write messages with their keys the other way round and with spaces, which
            is as legal as the order of the documentation.
    """

    def __init__(
        self,
        *,
        account_sid: str,
        call_sid: str,
        stream_sid: str,
        parameters: Mapping[str, str],
        callee: Callee,
        tracks: Sequence[str] = ("inbound",),
        ear: Callable[[bytes], None] | None = None,
        reversed_keys: bool = False,
    ) -> None:
        self.account_sid = account_sid
        self.call_sid = call_sid
        self.stream_sid = stream_sid
        self.parameters = dict(parameters)
        self.callee = callee
        self.tracks = tuple(tracks)
        self.playout = Playout()
        self.began_ns = 0
        """When it began, by ``time.monotonic_ns()``; its socket sets it. All other times count from there."""
        self.voice = bytearray()
        """What went out, 160 bytes a frame; byte n was spoken n / 8 ms into the stream."""
        self.received: list[Received] = []
        self.late_ms = 0.0
        """How late the latest frame left at most: the pacing's own error."""
        self.dropped_frames = 0
        """Frames that the application was too slow to read (Twilio's warning 31930)."""
        self.violations: list[str] = []
        self.after_close = b""
        """What came on the socket after the server's close frame: a server that writes an HTTP
        answer there has not noticed that it speaks WebSocket. Twilio does not mind."""
        self._ear = ear
        self._reversed_keys = reversed_keys
        self._sequence = 0
        self._chunks = 0
        self._known_ns = 0  # how far the stream has come
        self._mark_names: set[str] = set()

    # What the phone sends

    def begin(self) -> list[str]:
        """Return the first two messages."""
        start = {
            "accountSid": self.account_sid,
            "streamSid": self.stream_sid,
            "callSid": self.call_sid,
            "tracks": list(self.tracks),
            "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
            "customParameters": self.parameters,
        }
        connected = {"event": "connected", "protocol": "Call", "version": "1.0.0"}
        return [self._encode(connected), self._message("start", start=start)]

    @property
    def next_frame_ns(self) -> int:
        """When the next frame has been spoken and is to be sent."""
        return (self._chunks + 1) * FRAME_NS

    def frame(self) -> tuple[list[str], bool]:
        """Live through the next 20 ms; return what to send, and whether the callee hangs up."""
        until_ns = self.next_frame_ns
        deed = self.callee.live(self.playout.heard(until_ns - FRAME_NS, until_ns))
        texts = []
        if deed.digit:
            dtmf = {"track": "inbound_track", "digit": deed.digit}
            texts.append(self._message("dtmf", dtmf=dtmf, sequence_last=True))
        texts.append(self._media("inbound", self._chunks, deed.voice))
        self.voice += deed.voice
        if self._ear is not None:
            self._ear(deed.voice)
        self._chunks += 1
        self.advance(until_ns)
        return texts, deed.hangs_up

    def rest(self) -> list[str]:
        """Return what has been heard and is yet to be sent, at the end: here nothing is kept back."""
        return []

    def stop(self) -> str:
        """Return the last message."""
        return self._message("stop", stop={"accountSid": self.account_sid, "callSid": self.call_sid})

    def _media(self, track: str, before: int, sound: bytes) -> str:
        """A frame of a track, of which so many went out before it."""
        media = {
            "track": track,
            "chunk": str(before + 1),
            "timestamp": str(before * FRAME_MS),
            "payload": base64.b64encode(sound).decode(),
        }
        return self._message("media", media=media)

    def _message(self, event: str, *, sequence_last: bool = False, **body: Any) -> str:
        self._sequence += 1
        sequence = {"sequenceNumber": str(self._sequence)}
        stream = {"streamSid": self.stream_sid}
        # The documentation writes the two of dtmf the other way round.
        head = stream | sequence if sequence_last else sequence | stream
        return self._encode({"event": event, **head, **body})

    def _encode(self, message: dict[str, Any]) -> str:
        if not self._reversed_keys:
            return json.dumps(message, separators=(",", ":"), ensure_ascii=False)
        turned = {
            key: dict(reversed(value.items())) if isinstance(value, dict) else value
            for key, value in reversed(message.items())
        }
        return json.dumps(turned)

    # What the phone receives

    def receive(self, now_ns: int, text: str) -> list[str]:
        """Take one message of the application; return the marks that come back at once."""
        self.received.append(Received(now_ns / _MS_NS, text))
        self.advance(now_ns)
        try:
            message = json.loads(text)
        except (ValueError, RecursionError):
            return self._violation(f"not JSON: {text[:80]}")
        if not isinstance(message, dict):
            return self._violation(f"not a JSON object: {text[:80]}")
        event = message.get("event")
        if event not in ("media", "mark", "clear"):
            return self._violation(f"unknown event {event!r}")
        if message.get("streamSid") != self.stream_sid:
            return self._violation(f"{event} for the stream {message.get('streamSid')!r}")
        if event == "clear":
            return [self._mark(name) for name in self.playout.clear(now_ns)]
        body = message.get(event)
        if not isinstance(body, dict):
            return self._violation(f"{event} without its body")
        if event == "media":
            return self._play(now_ns, body.get("payload"))
        return self._take_mark(now_ns, body.get("name"))

    def advance(self, now_ns: int) -> None:
        """Note how far the stream has come."""
        self._known_ns = max(self._known_ns, now_ns)

    def refuse(self, what: str) -> None:
        """Note something that was not even a text message."""
        self._violation(what)

    def echoes(self, now_ns: int) -> list[str]:
        """Return the marks whose audio has been heard to its end."""
        self.advance(now_ns)
        return [self._mark(name) for name in self.playout.due(now_ns)]

    def _play(self, now_ns: int, payload: object) -> list[str]:
        if not isinstance(payload, str):
            return self._violation("media whose payload is not a string")
        try:
            audio = base64.b64decode(payload, validate=True)
        except (binascii.Error, ValueError):
            return self._violation(f"media that is not base64: {payload[:40]}")
        if not audio:
            return self._violation("media without audio")
        if audio.startswith((b"RIFF", b".snd")):
            return self._violation("media with a file header")
        self.playout.media(now_ns, audio)
        return []

    def _take_mark(self, now_ns: int, name: object) -> list[str]:
        if not isinstance(name, str) or not name:
            return self._violation(f"mark with the name {name!r}")
        if name in self._mark_names:
            self._violation(f"the mark {name!r} a second time")
        self._mark_names.add(name)
        self.playout.mark(now_ns, name)
        return self.echoes(now_ns)

    def _mark(self, name: str) -> str:
        return self._message("mark", mark={"name": name})

    def _violation(self, what: str) -> list[str]:
        self.violations.append(what)
        return []

    # What can be asked

    def heard_ms(self, at_ms: float | None = None) -> float:
        """How much of the agent's audio had been heard at a time, or by now; gaps not counted."""
        return self.playout.heard_bytes(self._ns(at_ms)) / BYTES_PER_MS

    def heard_ms_of(self, audio: bytes, at_ms: float | None = None) -> float:
        """How much of a recording had been heard at a time, or by now, from its beginning on."""
        return self.playout.heard_bytes_of(audio, self._ns(at_ms)) / BYTES_PER_MS

    def heard_track(self) -> bytes:
        """Return what was heard from the stream's start on, beside ``voice`` byte for byte."""
        return self.playout.heard(0, self._known_ns)

    def heard_voice_after(self, at_ms: float) -> float | None:
        """When, in ms, a voice was first heard from a time on; None if there was none."""
        track = self.heard_track()
        begin = int(at_ms) // FRAME_MS * FRAME_BYTES
        for at in range(begin, len(track), FRAME_BYTES):
            if is_voiced(track[at : at + FRAME_BYTES]):
                return at / BYTES_PER_MS
        return None

    def voice_to_voice_ms(self) -> list[float]:
        """How long each answer took: from the end of what the callee said to the next voice heard.

        What the agent was still saying by then is taken for its answer; nothing heard, no entry.
        """
        waits = []
        for spoken in self.callee.spoken:
            heard_ms = self.heard_voice_after(spoken.voice_ends_ms)
            if heard_ms is not None:
                waits.append(heard_ms - spoken.voice_ends_ms)
        return waits

    def write_wav(self, path: Path) -> None:
        """Write the call as a stereo file: the callee left, what was heard right."""
        write_stereo_wav(path, bytes(self.voice), self.heard_track())

    def _ns(self, at_ms: float | None) -> int:
        return self._known_ns if at_ms is None else round(at_ms * _MS_NS)
