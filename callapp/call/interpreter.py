"""One side of an interpreted call, alive: a phone, the translator that hears it, and the partner.

What this phone says goes to the translator; what the translator makes of it is laid over the voice
itself and goes to the partner's phone. The phone sends audio all the time, silence too, so it is the
clock of both: for each chunk that it brings, the partner is given a chunk as long. Once it is gone, time
itself is the clock of its last words.

Threads, and what each may touch:

- *uplink*, the thread of the Flask request: reads the phone, feeds the translator and the partner's
  phone, and is the only one that touches the conversation;
- *translator*, ours, one a session, see `Translators`: dials and reads it, and fills the mixer;
- *errand*, ours and brief: asks the carrier to ring the partner, or to stop it;
- any other leaves what happened in the inbox, where the uplink finds it within 20 ms.
"""

from __future__ import annotations

from binascii import a2b_base64, b2a_base64
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from threading import Thread
from time import monotonic

import numpy as np

from callapp.audio.g711 import SAMPLES_PER_MS, Samples, decode
from callapp.audio.mixing import Mixer
from callapp.audio.pacing import Pacing
from callapp.audio.ringing import Ringing
from callapp.call.interpreter_books import Books
from callapp.call.levels import Tap
from callapp.call.pairs import Side
from callapp.call.stream_end import StreamEnd
from callapp.call.threads import JOIN_S, Threads
from callapp.call.translators import News, Translator, Translators
from callapp.conversation.commands import PlayAudio, SendMark
from callapp.conversation.events import Played
from callapp.conversation.interpreting import (
    CallOff,
    Command,
    DialTranslator,
    DropTranslators,
    End,
    Event,
    FinishTranslator,
    Interpreting,
    LetPartnerGo,
    MarkEnd,
    MarkPlayed,
    Met,
    PartnerLeft,
    Phase,
    PhoneLost,
    Terms,
    TimePassed,
    Told,
    TranslatorFinished,
    TranslatorLost,
    UseTranslator,
)
from callapp.errors import CallappError, LegLost
from callapp.logs import Log
from callapp.realtime.translator import Took, Written
from callapp.telephony.leg import CallerLeg
from callapp.telephony.media_streams import CallerAudio

# How often the inbox is looked into once the phone is gone, and how much is then heard at a time.
TICK_MS = 20
# The dial of the partner takes no longer: ten seconds of Twilio's, and what the database takes.
DIALLED_S = 20.0


@dataclass(frozen=True)
class Outside:
    """What a side needs of the world, as plain functions; each may be called from any thread.

    Args:
        new_translator: makes one, not dialled yet; a call may need several, one after another.
        join: lets this side meet its partner, now or later.
        leave: this side is over.
        call_off: stops a partner's phone from ringing. Blocks; raises `CallappError`.
        call_partner: rings the partner's phone, where that is for this side to do. As ``call_off``.
        apologise: speaks a last line over the carrier when there can be no translator. As ``call_off``.
    """

    new_translator: Callable[[], Translator]
    join: Callable[[Side], None]
    leave: Callable[[Side], None]
    call_off: Callable[[], None]
    call_partner: Callable[[], None] | None
    apologise: Callable[[], None]


class InterpretedSide:
    """Carries one side of a call from its stream's start to its end.

    Args:
        level: of the speaker's own voice below the translation, 0 to 1.
        books: are told what happens.
    """

    def __init__(
        self,
        caller: CallerLeg,
        terms: Terms,
        level: float,
        outside: Outside,
        books: Books,
        log: Log,
    ) -> None:
        self.conversation = Interpreting(terms)
        self._books = books
        self.mixer = Mixer(level)
        self._caller = caller
        self._outside = outside
        self._log = log
        self._inbox: SimpleQueue[Event | News] = SimpleQueue()
        self._partner: Side | None = None
        self._tap: Tap | None = None  # of those who watch how loud it is
        self._heard_bytes = 0  # what the phone was sent: no sooner than it plays it
        self._pacing = Pacing()  # of what this phone hears; one thread at a time has it hear
        self._ringing = Ringing()
        self._threads = Threads()
        self._translators = Translators(
            outside.new_translator, self.mixer, self._inbox.put, self._threads, log
        )
        self._using: int | None = None
        self._phone_gone = False
        self._heard_to_ms = 0.0  # so far the partner has heard this side, once its phone is gone
        self._stream_end = StreamEnd()
        self._closed = False  # nobody looks into the inbox any more
        self._calling: Thread | None = None  # dials the partner, where that is for us to do
        self._began_s = monotonic()

    # -- from outside ---------------------------------------------------------------------------

    def run(self) -> str:
        """Carry the side until it ends; return why it did. Leaves no thread and no socket behind."""
        self._log.info("= call live")
        self._books.begin()
        try:
            self._outside.join(self)
            if self._outside.call_partner is not None:
                self._calling = self._threads.run_errand(
                    self._call_partner, self._partner_unreachable, self._log
                )
            self._uplink()
        finally:
            self._tell(Told("server.error"))  # of no effect unless this is an exception
            self._outside.leave(self)
            self._translators.drop()
            self._closed = True
            if self._partner is not None:  # who may have met us in the moment in which we left
                self._partner.partner_left("other.hung_up")
            self._threads.join(monotonic() + JOIN_S)
            reason = self.conversation.end_reason or "server.error"
            if self.mixer.skipped_ms:
                self._log.info("= %d ms of pauses were left out of the translation", self.mixer.skipped_ms)
            self._log.info("= translated: %.1f s of audio", self._translators.heard_s)
            self._log.info("x call ended: %s after %.1f s", reason, monotonic() - self._began_s)
            while not self._inbox.empty():
                self._take_news(self._inbox.get())
            self._books.close(reason, self._translators.heard_s, self._now_ms())
        return reason

    def wind_up(self, reason: str) -> None:
        """End the call, soon: the TwiML after the stream says goodbye. Safe from any thread."""
        self._inbox.put(Told(reason))

    def cut(self, reason: str) -> None:
        """End the call now. Safe from any thread.

        If the phone has hung up, what it said last is still to be read: see `StreamEnd`.
        """
        if not self._stream_end.told(reason):
            self._inbox.put(Told(reason))

    def tap(self, tap: Tap | None) -> int:
        """Put what passes into this as well; see `Audible`."""
        self._tap = tap
        return self._heard_bytes

    def position(self) -> int | None:
        """How much of what the phone was sent has been heard; see `Audible`."""
        return self._heard_bytes

    # -- as a `Side`, for the partner -----------------------------------------------------------

    def meet(self, partner: Side) -> None:
        """The partner is on the line. Safe from any thread."""
        self._partner = partner
        self._inbox.put(Met())
        if self._closed:
            partner.partner_left("other.hung_up")

    def hear(self, ulaw: bytes) -> None:
        """Let the phone hear this. Safe from any thread."""
        paced = self._pacing.next(ulaw, self._now_ms())
        if self._phone_gone or not paced:
            return
        command = PlayAudio(b2a_base64(paced, newline=False))
        tap, self._heard_bytes = self._tap, self._heard_bytes + len(paced)
        if tap is not None:
            tap.agent.append(command)
        with suppress(LegLost):  # the uplink will hear of it
            self._caller.send(command)

    def partner_left(self, reason: str) -> None:
        """The partner is gone, or will not come. Safe from any thread."""
        self._inbox.put(PartnerLeft(reason, self._pacing.unheard_ms(self._now_ms())))

    # -- the uplink -----------------------------------------------------------------------------

    def _uplink(self) -> None:
        while not self.conversation.over:
            if self._phone_gone:
                self._wait_for_news()
            else:
                self._listen()
            while not self._inbox.empty():
                self._take_news(self._inbox.get())
            self._tell(TimePassed())
            if not self._books.keep(self._translators.heard_s, self._now_ms()):
                self._tell(Told("limit.cost"))

    def _listen(self) -> None:
        heard, ended = self._stream_end.read(self._caller.receive)
        for event in heard:
            if isinstance(event, CallerAudio):
                tap = self._tap
                if tap is not None:
                    tap.caller.append(event.payload)
                self._pass_on(decode(a2b_base64(event.payload)))
            elif isinstance(event, Played):
                self._tell(MarkPlayed(event.mark))
        if ended is not None:
            self._phone_gone = True
            self._heard_to_ms = self._now_ms()
            self._tell(PhoneLost(ended))

    def _pass_on(self, voice: Samples) -> None:
        """Let the translator and the partner have what the phone said."""
        if self._partner is None:
            self.hear(self._ringing.frame(len(voice)))
        elif self.conversation.phase is Phase.TOGETHER:
            if self._using is not None:
                self._translators.hear(self._using, voice)
            self._partner.hear(self.mixer.frame(voice))

    def _wait_for_news(self) -> None:
        with suppress(Empty):
            self._take_news(self._inbox.get(timeout=TICK_MS / 1000))
        passed_ms = int(self._now_ms() - self._heard_to_ms)
        if self._partner is not None and self.conversation.phase is Phase.LAST_WORDS and passed_ms >= TICK_MS:
            self._heard_to_ms += passed_ms
            self._partner.hear(self.mixer.frame(np.zeros(passed_ms * SAMPLES_PER_MS, np.int16)))

    def _take_news(self, news: Event | News) -> None:
        if isinstance(news, Written):
            self._books.wrote(news, self._now_ms())
        elif isinstance(news, Took):
            self._books.took(news.usage, self._now_ms())
        else:
            self._tell(news)

    def _tell(self, event: Event) -> None:
        for command in self.conversation.receive(event, self._now_ms()):
            self._perform(command)
        if isinstance(event, TranslatorLost | TranslatorFinished):
            self._translators.forget(event.number)

    def _now_ms(self) -> float:
        return (monotonic() - self._began_s) * 1000

    # -- doing what was decided -----------------------------------------------------------------

    def _perform(self, command: Command) -> None:
        match command:
            case DialTranslator(number=number, after_ms=after_ms):
                self._translators.dial(number, after_ms)
            case UseTranslator(number=using):
                if using is None:
                    self._log.warning("= translator away: the voice is passed through")
                self._using = using
                self.mixer.duck(translating=using is not None)
                self._books.translating(self._now_ms(), translating=using is not None)
            case FinishTranslator(number=number):
                self._translators.finish(number)
            case DropTranslators():
                self._translators.drop()
            case MarkEnd(mark=mark):
                with suppress(LegLost):
                    self._caller.send(SendMark(mark))
            case LetPartnerGo(reason=reason):
                self._let_partner_go(reason)
            case CallOff():
                self._threads.run_errand(self._call_off, lambda: None, self._log)
            case End(reason=reason):
                self._end(reason)

    def _let_partner_go(self, reason: str) -> None:
        assert self._partner is not None
        self._partner.hear(self.mixer.rest())
        # Whose doing it was is told from where the partner stands.
        told = "other.hung_up" if reason.startswith(("caller.", "twilio.", "other.")) else reason
        self._partner.partner_left(told)

    def _end(self, reason: str) -> None:
        if reason.startswith("openai.") and not self._phone_gone:
            self._threads.run_errand(self._apologise, self._caller.close, self._log)
        else:
            self._caller.close()

    # -- errands --------------------------------------------------------------------------------

    def _call_partner(self) -> None:
        assert self._outside.call_partner is not None
        try:
            self._outside.call_partner()
        except CallappError as error:
            self._log.error("! the other party could not be called: %s", error)
            self._partner_unreachable()

    def _partner_unreachable(self) -> None:
        if self._partner is None:  # a dial whose answer was lost may have been picked up by now
            self._inbox.put(PartnerLeft("other.unreachable"))

    def _call_off(self) -> None:
        if self._calling is not None:  # what has not been dialled yet cannot be called off
            self._calling.join(DIALLED_S)
        try:
            self._outside.call_off()
        except CallappError as error:
            self._log.error("! the call to the other party could not be called off: %s", error)

    def _apologise(self) -> None:
        try:
            self._outside.apologise()
        except CallappError as error:
            self._log.error("! no apology could be spoken: %s", error)
        self._caller.close()
