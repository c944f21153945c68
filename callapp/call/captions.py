"""A call between two people, alive and listened to: a stream that brings both voices, and a session for each.

The people are connected by the phone company and need nothing of us. Whatever goes wrong here, the worst that
can happen is that the stream is closed, and they talk on without captions.

Threads, and what each may touch:

- *uplink*, the thread of the Flask request: reads the stream, feeds the sessions, and is the only one that
  touches the captions;
- *transcriber*, ours, one a session: dials and reads it;
- any other leaves what happened in the inbox, where the uplink finds it within 20 ms.
"""

from __future__ import annotations

from binascii import b2a_base64
from collections.abc import Callable, Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue
from threading import Event as Flag
from time import monotonic
from typing import Protocol

from callapp.audio.levels import speech_dbfs
from callapp.call.levels import Tap
from callapp.call.sessions import Session, carry
from callapp.call.stream_end import StreamEnd
from callapp.call.threads import JOIN_S, Threads
from callapp.conversation.captioning import (
    Captioning,
    Command,
    DialSession,
    DropSession,
    End,
    Event,
    Frame,
    SendTo,
    SessionLost,
    SessionReady,
    SessionSaid,
    Speaker,
    StreamOver,
    Terms,
    TimePassed,
    Told,
)
from callapp.conversation.commands import PlayAudio
from callapp.conversation.dictation import EndPiece, SendSpeech, Tell
from callapp.conversation.facts import Began, Closed, Ended, Fact
from callapp.conversation.flow import BYTES_PER_MS
from callapp.conversation.speaking import FRAME_MS
from callapp.errors import LegLost
from callapp.logs import Log
from callapp.realtime.transcription import Ready, TranscriberEvent
from callapp.telephony.listening import ListeningLeg, Sound

# How often the inbox is looked into once the stream is over.
TICK_S = 0.1
_FRAME_BYTES = FRAME_MS * BYTES_PER_MS


class Transcriber(Session[TranscriberEvent], Protocol):
    """A session that writes down what one speaker says."""

    def do(self, what: SendSpeech | EndPiece) -> None:
        """Let the session hear something, or know that a piece has ended. Only one thread may.

        Raises:
            LegLost: the session is gone.
        """


class CaptionedCall:
    """Listens to a call from its stream's start to its end.

    Args:
        new_transcriber: makes one, not dialled yet; each speaker may need several, one after another.
        journal: is told what happens.
    """

    def __init__(
        self,
        caller: ListeningLeg,
        terms: Terms,
        new_transcriber: Callable[[], Transcriber],
        journal: Callable[[Fact, float], None],
        log: Log,
    ) -> None:
        self.captions = Captioning(terms)
        self._stream = caller
        self._new_transcriber = new_transcriber
        self._journal = journal
        self._log = log
        self._inbox: SimpleQueue[Event] = SimpleQueue()
        self._sessions: dict[Speaker, Transcriber] = {}  # the newest of each
        self._dropped: set[tuple[Speaker, int]] = set()  # those that we have ended
        self._stream_end = StreamEnd()
        self._stream_over = False
        self._over = Flag()
        self._threads = Threads()
        self._tap: Tap | None = None  # of those who watch how loud it is
        self._other_bytes = 0  # of what the other person said: it is heard as it is said
        self._began_s = monotonic()

    def run(self) -> str:
        """Listen until the call is over, or our part in it. Leaves no thread and no socket behind."""
        self._log.info("= call live, listening")
        try:
            self._journal(Began(), 0.0)
            self._perform(self.captions.begin())
            self._uplink()
        finally:
            self._perform(self.captions.receive(Told("server.error", at_once=True), self._now_ms()))
            self._over.set()
            self._stream.close()
            self._threads.join(monotonic() + JOIN_S)
            reason = self.captions.end_reason or "server.error"
            self._log.info("x call ended: %s after %.1f s", reason, monotonic() - self._began_s)
            self._journal(Ended(self._now_ms(), reason), self._now_ms())
            self._journal(Closed(self._now_ms()), self._now_ms())
        return reason

    def wind_up(self, reason: str) -> None:
        """Stop listening, once the last words are written down. Safe from any thread."""
        self._inbox.put(Told(reason))

    def cut(self, reason: str) -> None:
        """Stop listening now. Safe from any thread.

        If somebody has hung up, what was said last is still to be heard: see `StreamEnd`.
        """
        if not self._stream_end.told(reason):
            self._inbox.put(Told(reason, at_once=True))

    def tap(self, tap: Tap | None) -> int:
        """Put what passes into this as well, the other person's voice as the agent's; see `Audible`."""
        self._tap = tap
        return self._other_bytes

    def position(self) -> int | None:
        """How much of the other person's voice has been heard; see `Audible`."""
        return self._other_bytes

    # -- the uplink -----------------------------------------------------------------------------

    def _uplink(self) -> None:
        while not self.captions.over:
            if self._stream_over:
                self._wait_for_news()
            else:
                self._listen()
            while not self._inbox.empty():
                self._tell(self._inbox.get())
            self._tell(TimePassed())

    def _listen(self) -> None:
        heard, ended = self._stream_end.read(self._stream.receive)
        for event in heard:
            if isinstance(event, Sound):
                self._hear(event)
        if ended is not None:
            self._stream_over = True
            self._tell(StreamOver(ended))

    def _hear(self, sound: Sound) -> None:
        if self._tap is not None:
            self._show(sound, self._tap)
        if sound.speaker == "other":
            self._other_bytes += len(sound.ulaw)
        for at in range(0, len(sound.ulaw), _FRAME_BYTES):
            frame = sound.ulaw[at : at + _FRAME_BYTES]
            at_ms = sound.at_ms + at / BYTES_PER_MS
            self._tell(Frame(sound.speaker, frame, speech_dbfs(frame), at_ms))

    def _show(self, sound: Sound, tap: Tap) -> None:
        payload = b2a_base64(sound.ulaw, newline=False)
        if sound.speaker == "caller":
            tap.caller.append(payload)
        else:
            tap.agent.append(PlayAudio(payload))

    def _wait_for_news(self) -> None:
        with suppress(Empty):
            self._tell(self._inbox.get(timeout=TICK_S))

    def _tell(self, event: Event) -> None:
        self._perform(self.captions.receive(event, self._now_ms()))

    def _now_ms(self) -> float:
        return (monotonic() - self._began_s) * 1000

    # -- doing what was decided -----------------------------------------------------------------

    def _perform(self, commands: Sequence[Command]) -> None:
        for command in commands:
            match command:
                case SendTo(speaker=speaker, what=what):
                    with suppress(LegLost):  # the session's own thread will hear of it
                        self._sessions[speaker].do(what)
                case Tell(fact=fact):
                    self._journal(fact, self._now_ms())
                case DialSession(speaker=speaker, number=number, after_ms=after_ms):
                    self._dial(speaker, number, after_ms)
                case DropSession(speaker=speaker, number=number):
                    self._dropped.add((speaker, number))
                    self._sessions[speaker].close()
                case End():
                    self._stream.close()

    def _dial(self, speaker: Speaker, number: int, after_ms: float) -> None:
        session = self._sessions[speaker] = self._new_transcriber()
        try:
            self._threads.start(lambda: self._transcribe(speaker, number, session, after_ms), "transcriber")
        except RuntimeError as error:  # the system has none left: as a service that is not to be had
            self._log.error("! the %s cannot be listened to: %s", speaker, error)
            self._inbox.put(SessionLost(speaker, number, "server.error"))

    # -- the transcriber's thread ---------------------------------------------------------------

    def _transcribe(self, speaker: Speaker, number: int, session: Transcriber, after_ms: float) -> None:
        """Carry one session, from the dial until it is over."""

        def take(event: TranscriberEvent) -> bool:
            if isinstance(event, Ready):
                self._inbox.put(SessionReady(speaker, number))
            else:
                self._inbox.put(SessionSaid(speaker, number, event))
            return True

        try:
            loss = carry(session, after_ms, self._over, take)
        except Exception:  # noqa: BLE001 - the top of a thread: whatever it is, the captions end
            self._log.exception("! bug in the transcriber's thread")
            self._inbox.put(Told("server.error"))
            return
        if loss is None or self._over.is_set() or (speaker, number) in self._dropped:
            return
        self._log.warning("< transcriber of the %s lost: %s %s", speaker, loss.code, loss.reason)
        meaning = session.meaning_of(loss)
        self._inbox.put(SessionLost(speaker, number, meaning.reason, meaning.hopeless))
