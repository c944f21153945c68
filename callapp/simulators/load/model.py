"""One model session of the load: hears the caller's chunks and times them, speaks by a fixed script.

The script goes round: an answer interrupted while it is being made, one heard to its end, an answer
interrupted when it is made but not heard, one heard to its end. Sessions begin at different places.
"""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from callapp.simulators.clips import clip
from callapp.simulators.load import events
from callapp.simulators.load.audio import (
    CHUNK_BYTES,
    CHUNK_MS,
    CODES,
    COUNT,
    MAGIC,
    MAGIC_BYTES,
    NUMBERS,
    OWN_EVERY,
)
from callapp.simulators.load.loop import clock
from callapp.simulators.load.phone import REMEMBERED
from callapp.simulators.load.wire import CLOSE, PING, PONG, TEXT, Peer, head, server_frame, split
from callapp.simulators.load.world import World

if TYPE_CHECKING:
    from callapp.simulators.load.phone import Phone

# What the model answers with, and how long after its beginning the caller speaks again; None: after its end.
_SCRIPT: tuple[tuple[str, float | None], ...] = (
    ("agent-answer", 2.2),
    ("agent-change", None),
    ("agent-answer", 5.0),
    ("agent-change", None),
)
_GREETING = "agent-greeting"
_GOODBYE = "agent-goodbye"
_FIRST_TURN_S = 2.5
_FIRST_TURN_SPREAD_S = 4.0
_PAUSE_S = 0.6
_SPEECH_S = 1.2
_THINKING_S = 0.3
# A word of transcript with so much audio.
_WORDS_MS = 240
# Audio is missed when it has not come so long after the response was over.
_LOST_AFTER_S = 3.0
_CLOSE_WITHIN_S = 1.0
_GIVE_UP_S = 6.0
_LAST_CHUNKS = 1000 // CHUNK_MS
_CHUNK_CHARS = -(-CHUNK_BYTES // 3) * 4
_RAW_MAGIC = b64decode(MAGIC)
_GOLDEN = 0.7548776662


class Session:
    """OpenAI's end of a call."""

    def __init__(self, world: World, peer: Peer, number: int) -> None:
        self._world = world
        self._peer = peer
        self._number = number
        self._rest = b""
        self.open = True
        self.phone: Phone | None = None
        self._ready_at = float("inf")
        self._interrupts = True  # itself, when the caller speaks
        # hearing
        self._expected = 1
        self._ragged = b""
        self._all: int | None = None  # chunks that have to come, once the caller has hung up
        # speaking
        self.sent_at = [0.0] * REMEMBERED
        self._deltas_sent = 0
        self._responses = 0
        self._active: int | None = None
        self._voiced = 0  # deltas of the active response
        self._began_at = 0.0
        self._clip = ""
        self._tag: object = None
        self._head = self._middle = b""
        self._ends_call = False
        # turns
        self._turn = number % len(_SCRIPT)
        self._caller_speaks = False
        self._leaving = False
        world.sessions.add(self)
        peer.then(self._received, self._lost)
        self._say({"type": "session.created", "session": {"type": "realtime", "id": f"sess_{number}"}})

    # -- the socket -----------------------------------------------------------------------------

    def _received(self, data: bytes) -> None:
        frames, self._rest = split(self._rest + data if self._rest else data)
        for opcode, payload in frames:
            if opcode == TEXT:
                at = payload.find(MAGIC)
                if at >= 0 and payload.find(b'"', at + 12) - at == _CHUNK_CHARS:
                    self._hear(NUMBERS[payload[at + 8 : at + 12]], payload[at + 12 : at + 16])
                else:
                    self._take(payload)
            elif opcode == PING:
                self._peer.send(server_frame(payload, PONG))
            elif opcode == CLOSE:
                self._peer.send(server_frame(payload, CLOSE))
                self._peer.close()
                self._lost()

    def _lost(self) -> None:
        if self.open:
            self.open = False
            self._active = None
            self._world.sessions.discard(self)
            missing = ((self._all or 0) + 1 - self._expected) % COUNT
            if self._all is not None and missing < COUNT // 2:
                self._world.tally.chunks_lost += missing

    def _say(self, event: dict[str, Any]) -> None:
        if self.open:
            self._peer.send(
                server_frame(json.dumps(event, separators=(",", ":"), ensure_ascii=False).encode())
            )

    def expect_close(self) -> None:
        """The phone is gone: this session has to end, soon."""

        def check() -> None:
            if self.open:
                self._world.tally.sessions_left += 1

        def give_up() -> None:
            if self.open:
                self._peer.close()
                self._lost()

        self._world.loop.after(_CLOSE_WITHIN_S, check)
        self._world.loop.after(_GIVE_UP_S, give_up)

    # -- hearing --------------------------------------------------------------------------------

    def _hear(self, number: int, mark: bytes) -> None:
        """Take the caller's chunk of this number (modulo `COUNT`)."""
        phone = self.phone
        if phone is not None:
            sent_at = phone.sent_at[number % REMEMBERED]
            if sent_at > self._ready_at:
                self._world.tally.to_model.add(clock() - sent_at)
        elif number % OWN_EVERY == 1:
            self._meet(NUMBERS[mark])
        if number != self._expected:
            self._miss(number)
        self._expected = (number + 1) % COUNT

    def _meet(self, number: int) -> None:
        phone = self._world.phones.get(number)
        if phone is not None:
            self.phone, phone.session = phone, self

    def _miss(self, number: int) -> None:
        ahead = (number - self._expected) % COUNT
        if ahead < COUNT // 2:
            self._world.tally.chunks_lost += ahead
        else:
            self._world.tally.chunks_twice += 1

    def _hear_ragged(self, audio: bytes) -> None:
        """Take audio that is not one chunk: several joined, or parts of them."""
        self._ragged += audio
        while len(self._ragged) >= CHUNK_BYTES:
            chunk, self._ragged = self._ragged[:CHUNK_BYTES], self._ragged[CHUNK_BYTES:]
            if chunk.startswith(_RAW_MAGIC):
                number = int.from_bytes(chunk[MAGIC_BYTES : MAGIC_BYTES + 3], "big")
                mark = int.from_bytes(chunk[MAGIC_BYTES + 3 : MAGIC_BYTES + 6], "big")
                self._hear(number, CODES[mark % COUNT])
            else:
                self._world.tally.chunks_lost += 1

    def expect_all(self, sent: int) -> None:
        """The caller has hung up after so many chunks: they have to come before the session ends.

        All but those of the last second: when the server closes, the system may drop what we have not read.
        """
        self._all = max(0, sent - _LAST_CHUNKS)

    def _take(self, payload: bytes) -> None:
        try:
            event = json.loads(payload)
        except ValueError:
            return
        match event.get("type"):
            case "input_audio_buffer.append":
                self._hear_ragged(b64decode(event["audio"]))
            case "session.update":
                self._on_update(event["session"])
            case "response.create":
                self._on_create(event)
            case "response.cancel":
                if self._active is not None:
                    self._end_response("cancelled", "client_cancelled")
            case "conversation.item.truncate" | "conversation.item.delete" as kind:
                self._say({**event, "type": kind + "d"})
            case "conversation.item.create":
                self._say({"type": "conversation.item.added", "item": event["item"]})
                self._say({"type": "conversation.item.done", "item": event["item"]})

    def _on_update(self, session: dict[str, Any]) -> None:
        detection = session["audio"]["input"].get("turn_detection") or {}
        self._interrupts = detection.get("interrupt_response", True)
        self._say({"type": "session.updated", "session": session})
        if self._ready_at == float("inf"):
            self._ready_at = clock()
            spread = self._number * _GOLDEN % 1 * _FIRST_TURN_SPREAD_S
            self._world.loop.after(_FIRST_TURN_S + spread, self._speech_starts)

    def _heard_ms(self) -> int:
        return (self._expected - 1) * CHUNK_MS

    # -- turns ----------------------------------------------------------------------------------

    def say_goodbye(self) -> bool:
        """Say goodbye and ``end_call``, now or after this turn; false when nobody would hear it."""
        self._leaving = self.open
        if self.open and self._active is None and not self._caller_speaks:
            self._answer()
        return self.open

    def _speech_starts(self) -> None:
        if not self.open or self._ends_call:
            return
        self._caller_speaks = True
        now = clock()
        # An answer that the caller waits for is not interrupted by our script: only what is heard is.
        if self.phone is not None and self._world.target.converses:
            self.phone.expect_clear(now, self._responses)
        self._say(events.speech_started(self._responses, self._heard_ms()))
        if self._interrupts and self._active is not None:
            self._end_response("cancelled", "turn_detected")
        self._world.loop.after(_SPEECH_S, self._speech_stops)

    def _speech_stops(self) -> None:
        if not self.open:
            return
        self._caller_speaks = False
        for event in events.speech_stopped(self._responses, self._heard_ms()):
            self._say(event)
        self._world.loop.after(_THINKING_S, self._answer)

    def _answer(self) -> None:
        if not self.open or self._active is not None or self._ends_call:
            return  # an answer is under way: it was asked for
        if self._leaving:
            self._ends_call = True
            self._respond(_GOODBYE, None)
            return
        clip, wait = _SCRIPT[self._turn]
        self._turn = (self._turn + 1) % len(_SCRIPT)
        self._respond(clip, None)
        if wait is None:
            wait = self._world.voice.duration_s(clip) + _PAUSE_S
        self._world.loop.after(wait, self._speech_starts)

    def _on_create(self, event: dict[str, Any]) -> None:
        if self._active is not None:
            error = {
                "type": "invalid_request_error",
                "code": "conversation_already_has_active_response",
                "message": "Conversation already has an active response in progress",
                "event_id": event.get("event_id"),
            }
            self._say({"type": "error", "error": error})
            return
        self._respond(_GOODBYE if self._ends_call else _GREETING, event.get("response", {}).get("metadata"))

    # -- speaking -------------------------------------------------------------------------------

    def _respond(self, clip: str, metadata: object) -> None:
        self._responses += 1
        number = self._active = self._responses
        self._clip, self._tag, self._voiced = clip, metadata, 0
        self._head = b'{"type":"response.output_audio.delta","event_id":"event_'
        self._middle = (
            b'","response_id":"resp_%05d","item_id":"item_%05d","output_index":0,"content_index":0,'
            b'"delta":"callapp+' % (number, number)
        )
        for event in events.response_began(number, metadata):
            self._say(event)
        self._began_at = clock()
        self._speak(number)

    def _speak(self, number: int) -> None:
        """Send the next delta of a response, unless it was cancelled."""
        if self._active != number:
            return
        world = self._world
        deltas = world.voice.deltas(self._clip)
        at = self._voiced
        if at == len(deltas):
            self._end_response("completed", None)
            return
        if at * world.voice.delta_ms % _WORDS_MS == 0:
            text = clip(self._clip).text
            self._say(events.words(number, text[at * len(text) // len(deltas) :][:2]))
        self._voiced = at + 1
        sent = self._deltas_sent = (self._deltas_sent + 1) % COUNT
        code = CODES[sent]
        body = b"".join((self._head, code, self._middle, code, CODES[number % COUNT], deltas[at], b'"}'))
        self.sent_at[sent % REMEMBERED] = clock()
        self._peer.send(head(len(body)) + body)
        due = self._began_at + self._voiced * world.voice.delta_ms / 1000 / world.speed
        world.loop.at(due, lambda: self._speak(number))

    def _end_response(self, status: str, reason: str | None) -> None:
        number, self._active = self._active, None
        assert number is not None
        text = clip(self._clip).text
        ends_call = self._ends_call and status == "completed"
        for event in events.response_ended(number, text, self._tag, status, reason, ends_call=ends_call):
            self._say(event)
        if status == "completed":
            self._world.loop.after(_LOST_AFTER_S, self._check_heard(number, self._voiced))

    def _check_heard(self, number: int, deltas: int) -> Callable[[], None]:
        def check() -> None:
            phone, tally = self.phone, self._world.tally
            if phone is None or not phone.streaming or number <= phone.cut:
                return
            sent = deltas * self._world.voice.delta_bytes
            tally.agent_bytes += sent
            tally.agent_bytes_lost += abs(sent - phone.got.pop(number, 0))

        return check
