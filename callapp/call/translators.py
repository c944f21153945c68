"""The translators of one side of an interpreted call: sessions that take each other's place.

Each is dialled and read by a thread of its own, *translator*. What it says is laid into the mixer by that
thread; all else that it tells is left in the side's inbox.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from threading import Event as Flag
from typing import Protocol

from callapp.audio.g711 import SAMPLES_PER_MS, Samples
from callapp.audio.levels import level_of
from callapp.audio.mixing import Mixer
from callapp.call.sessions import Session, carry
from callapp.call.threads import Threads
from callapp.conversation.interpreting import Told, TranslatorFinished, TranslatorLost, TranslatorReady
from callapp.conversation.speaking import SOFTEST_DBFS, Speaking
from callapp.errors import LegLost
from callapp.logs import Log
from callapp.realtime.translator import Finished, Ready, Spoken, Took, TranslatorEvent, Written

News = Told | Took | TranslatorFinished | TranslatorLost | TranslatorReady | Written


class Translator(Session[TranslatorEvent], Protocol):
    """A session that translates what one speaker says."""

    @property
    def heard_ms(self) -> float:
        """How much of the speaker's audio has been sent, where the session is billed by it; else nothing."""

    @property
    def mute_ms(self) -> float:
        """One that was spoken to for so long, and neither says nor writes anything, is as good as lost."""

    def hear(self, samples: Samples) -> None:
        """Take what the speaker says, silence too. Only one thread may speak.

        Raises:
            LegLost: the session is gone.
        """

    def finish(self) -> None:
        """Have the rest translated; ``Finished`` follows. For the thread that ``hear`` is for.

        Raises:
            LegLost: the session is gone.
        """


class Translators:
    """Those of one side, by their numbers. For the side's uplink alone; nothing here waits.

    Args:
        new: makes one, not dialled yet.
        tell: takes news, from any thread.
        threads: the side's.
    """

    def __init__(
        self,
        new: Callable[[], Translator],
        mixer: Mixer,
        tell: Callable[[News], None],
        threads: Threads,
        log: Log,
    ) -> None:
        self._new = new
        self._mixer = mixer
        self._tell = tell
        self._threads = threads
        self._log = log
        self._alive: dict[int, Translator] = {}
        self._past_ms = 0.0  # what those heard that are over
        self._dropped = Flag()
        self._speaking = Speaking()
        self._unanswered_ms = 0.0  # of speech, that the present one has heard

    @property
    def heard_s(self) -> float:
        """Audio that they were sent so far: what they cost goes by it, silence included."""
        alive_ms = sum(translator.heard_ms for translator in self._alive.values())
        return (self._past_ms + alive_ms) / 1000

    def dial(self, number: int, after_ms: float) -> None:
        """Have one more, after a while."""
        translator = self._alive[number] = self._new()
        try:
            self._threads.start(lambda: self._carry(number, translator, after_ms), "translator")
        except RuntimeError as error:  # the system has none left: as a service that is not to be had
            self._log.error("! no translator can be dialled: %s", error)
            self._tell(TranslatorLost(number, "server.error"))

    def hear(self, number: int, voice: Samples) -> None:
        """Let one have what the speaker says."""
        translator = self._alive.get(number)
        if translator is None:
            return
        with suppress(LegLost):  # its own thread will hear of it
            translator.hear(voice)
        if self._speaking.hear(level_of(voice)):
            self._unanswered_ms += len(voice) / SAMPLES_PER_MS
        if self._unanswered_ms >= translator.mute_ms:
            self._log.warning("! the translator is silent: another one takes its place")
            self._unanswered_ms = 0.0
            translator.close()

    def finish(self, number: int) -> None:
        """Have one translate the rest of what it heard."""
        translator = self._alive.get(number)
        if translator is not None:
            with suppress(LegLost):  # as above
                translator.finish()

    def forget(self, number: int) -> None:
        """One is over, as it was told."""
        over = self._alive.pop(number, None)
        self._past_ms += over.heard_ms if over is not None else 0.0

    def drop(self) -> None:
        """End them all; none is dialled any more."""
        self._dropped.set()
        for translator in self._alive.values():
            translator.close()

    # -- a translator's thread ------------------------------------------------------------------

    def _carry(self, number: int, translator: Translator, after_ms: float) -> None:
        """Carry one session, from the dial until it is over."""
        try:
            loss = carry(translator, after_ms, self._dropped, lambda event: self._take(number, event))
        except Exception:  # noqa: BLE001 - the top of a thread: whatever it is, the call ends
            self._log.exception("! bug in the translator's thread")
            self._tell(Told("server.error"))
            return
        if loss is not None:
            if not self._dropped.is_set():
                self._log.warning("< translator lost: %s %s", loss.code, loss.reason)
            meaning = translator.meaning_of(loss)
            self._tell(TranslatorLost(number, meaning.reason, meaning.hopeless))

    def _take(self, number: int, event: TranslatorEvent) -> bool:
        """Take what the session tells; false when it has said all."""
        match event:
            case Spoken(samples=samples):
                self._mixer.add(samples)
                if level_of(samples) > SOFTEST_DBFS:
                    self._unanswered_ms = 0.0
            case Written(side=side, text=text):
                self._log.debug("< %s: %s", side, text)
                self._tell(event)
                self._unanswered_ms = 0.0
            case Took():
                self._tell(event)
            case Ready():
                self._tell(TranslatorReady(number))
                self._unanswered_ms = 0.0
            case Finished():
                self._tell(TranslatorFinished(number))
                return False
        return True
