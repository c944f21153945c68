"""One side of an interpreted call: somebody on the phone, whose words are translated for a partner.

Pure, as `machine` is: events in, commands out, time as a number. Each side has one of these, and the
two know of each other only what `Met` and `PartnerLeft` say, so that they may live in two processes.

The phases move forward only:

    alone ─▶ together ─▶ last words (this phone is gone) ─▶ over
                    └──▶ parting (the partner is gone)   ─▶ over
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from callapp.conversation.redialling import pause_before

# How long the partner's phone may ring, and be queued at the carrier before.
PARTNER_WITHIN_MS = 120_000
# How long the last words of a speaker who is gone may take to be translated.
LAST_WORDS_MS = 5_000
# What a mark may take to come back beyond the audio before it.
MARK_SPARE_MS = 2_000
LAST_MARK = "last-words"

# -- what happens -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Met:
    """The partner is on the line."""


@dataclass(frozen=True, slots=True)
class PartnerLeft:
    """The partner's side is over, or never came. ``unheard_ms`` of what they said have yet to be played."""

    reason: str
    unheard_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class PhoneLost:
    """This side's phone is gone."""

    reason: str


@dataclass(frozen=True, slots=True)
class MarkPlayed:
    """The phone has played all that was sent before a mark."""

    mark: str


@dataclass(frozen=True, slots=True)
class TranslatorReady:
    """A translator hears and speaks. They are numbered from 1, in the order of their dials."""

    number: int


@dataclass(frozen=True, slots=True)
class TranslatorFinished:
    """All that it heard has been translated."""

    number: int


@dataclass(frozen=True, slots=True)
class TranslatorLost:
    """It is gone, or was never to be had."""

    number: int
    reason: str
    hopeless: bool = False


@dataclass(frozen=True, slots=True)
class Told:
    """Something outside wants the call to end: a limit, a stop of the server, a bug."""

    reason: str


@dataclass(frozen=True, slots=True)
class TimePassed:
    """Nothing happened; a deadline may be over."""


Event = (
    Met
    | PartnerLeft
    | PhoneLost
    | MarkPlayed
    | TranslatorReady
    | TranslatorFinished
    | TranslatorLost
    | Told
    | TimePassed
)

# -- what is to be done -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class DialTranslator:
    """Open a session, after a pause."""

    number: int
    after_ms: float


@dataclass(frozen=True, slots=True)
class UseTranslator:
    """Let the phone be heard by this one from here on; ``None``: by none, and pass the voice whole."""

    number: int | None


@dataclass(frozen=True, slots=True)
class FinishTranslator:
    """Nothing more will be said to it: have it translate the rest."""

    number: int


@dataclass(frozen=True, slots=True)
class DropTranslators:
    """End all sessions; what they still had to say is for nobody."""


@dataclass(frozen=True, slots=True)
class MarkEnd:
    """Have the phone say when it has played everything."""

    mark: str


@dataclass(frozen=True, slots=True)
class LetPartnerGo:
    """Give the partner what is left of the translation, and say that this side is over."""

    reason: str


@dataclass(frozen=True, slots=True)
class CallOff:
    """The partner never came: stop their phone from ringing."""


@dataclass(frozen=True, slots=True)
class End:
    """Close the phone's stream; the call is over here."""

    reason: str


Command = (
    DialTranslator
    | UseTranslator
    | FinishTranslator
    | DropTranslators
    | MarkEnd
    | LetPartnerGo
    | CallOff
    | End
)


class Phase(Enum):
    """Where a side stands."""

    ALONE = auto()
    TOGETHER = auto()
    LAST_WORDS = auto()
    PARTING = auto()
    OVER = auto()


@dataclass(frozen=True)
class Terms:
    """What was agreed for this call.

    Args:
        most_ms: how long it may last.
        session_ms: age at which a translator is replaced by a new one, before the service ends it.
    """

    most_ms: float
    session_ms: float


class Interpreting:
    """What happens on one side. Not safe for several threads."""

    def __init__(self, terms: Terms) -> None:
        self.phase = Phase.ALONE
        self.end_reason: str | None = None
        self._terms = terms
        self._dialled = 0  # translators so far
        self._dialling: int | None = None  # the one that is not ready yet
        self._using: int | None = None
        self._finishing: dict[int, float] = {}  # those with words left to say, and until when at the latest
        self._losses = 0  # since one was ready
        self._until_ms: float = PARTNER_WITHIN_MS  # of the phase; of no meaning while together
        self._renew_ms: float | None = None

    @property
    def over(self) -> bool:
        """Whether the call has come to its end here."""
        return self.phase is Phase.OVER

    def receive(self, event: Event, now_ms: float) -> list[Command]:
        """Take one event; return what to do about it, in order."""
        if self.over:
            return []
        match event:
            case Met() if self.phase is Phase.ALONE:
                self.phase = Phase.TOGETHER
                return [self._dial()]
            case PartnerLeft(reason=reason, unheard_ms=unheard_ms):
                return self._on_partner_left(reason, now_ms + unheard_ms)
            case PhoneLost(reason=reason):
                return self._on_phone_lost(reason, now_ms)
            case MarkPlayed(mark=mark) if mark == LAST_MARK and self.phase is Phase.PARTING:
                return self._end()
            case TranslatorReady(number=number) if number == self._dialling:
                return self._on_ready(number, now_ms)
            case TranslatorFinished() | TranslatorLost() if event.number in self._finishing:
                return self._on_finished(event.number)
            case TranslatorFinished(number=number) if number == self._using:
                # It went by itself, as if the socket had been lost.
                return self._on_lost(TranslatorLost(number, "openai.disconnected"))
            case TranslatorLost() if event.number in (self._dialling, self._using):
                return self._on_lost(event)
            case Told(reason=reason):
                return self._leave(reason)
            case TimePassed():
                return self._on_time(now_ms)
        return []

    # -- the translator -------------------------------------------------------------------------

    def _dial(self) -> Command:
        self._dialled += 1
        self._dialling = self._dialled
        return DialTranslator(self._dialled, pause_before(self._losses))

    def _on_ready(self, number: int, now_ms: float) -> list[Command]:
        before, self._using, self._dialling = self._using, number, None
        self._losses = 0
        self._renew_ms = now_ms + self._terms.session_ms
        # What the one before has yet to say is heard to its end.
        return [UseTranslator(number), *([self._finish(before, now_ms)] if before is not None else [])]

    def _finish(self, number: int, now_ms: float) -> Command:
        self._finishing[number] = now_ms + LAST_WORDS_MS
        return FinishTranslator(number)

    def _on_lost(self, lost: TranslatorLost) -> list[Command]:
        self._losses += 1
        if lost.number == self._dialling:
            self._dialling = None
        commands: list[Command] = []
        if lost.number == self._using:
            self._using = None
            commands.append(UseTranslator(None))
        if lost.hopeless and self._using is None:
            return commands + self._leave(lost.reason)
        return commands if self._dialling is not None else [*commands, self._dial()]

    def _on_finished(self, number: int) -> list[Command]:
        del self._finishing[number]
        if self.phase is not Phase.LAST_WORDS or self._finishing:
            return []
        return self._leave(self._reason)

    # -- the end --------------------------------------------------------------------------------

    @property
    def _reason(self) -> str:
        assert self.end_reason is not None
        return self.end_reason

    def _on_phone_lost(self, reason: str, now_ms: float) -> list[Command]:
        # One that was replaced a moment ago may not have said all yet. One that hangs is not waited for.
        self._finishing = {one: by_ms for one, by_ms in self._finishing.items() if by_ms > now_ms}
        last = self._using
        if self.phase is not Phase.TOGETHER or (last is None and not self._finishing):
            return self._leave(reason)
        self.phase = Phase.LAST_WORDS
        self.end_reason = reason
        self._until_ms = now_ms + LAST_WORDS_MS
        # A replacement has heard nothing of them: those that have are left to finish.
        self._using = self._dialling = self._renew_ms = None
        return [self._finish(last, now_ms)] if last is not None else []

    def _on_partner_left(self, reason: str, heard_at_ms: float) -> list[Command]:
        if self.phase is Phase.PARTING:
            return []
        if self.phase is Phase.LAST_WORDS:
            return self._end()
        # One who is not to be had may be rung all the same: the dial's answer was late.
        rung: list[Command] = [CallOff()] if self.phase is Phase.ALONE else []
        self.phase = Phase.PARTING
        self.end_reason = reason
        self._using = self._dialling = self._renew_ms = None  # nobody is left to translate for
        self._until_ms = heard_at_ms + MARK_SPARE_MS
        return [*rung, DropTranslators(), MarkEnd(LAST_MARK)]

    def _on_time(self, now_ms: float) -> list[Command]:
        if self.phase is not Phase.TOGETHER and now_ms >= self._until_ms:
            return self._leave("other.unreachable")  # once they were there, there is another reason
        if now_ms >= self._terms.most_ms:
            return self._leave("limit.call_seconds")
        if self._renew_ms is not None and now_ms >= self._renew_ms and self._dialling is None:
            return [self._dial()]
        return []

    def _leave(self, reason: str) -> list[Command]:
        """End this side at once, and the other with it."""
        self.end_reason = self.end_reason or reason
        alone = self.phase is Phase.ALONE
        parting = self.phase is Phase.PARTING
        farewell: list[Command] = [CallOff()] if alone else [] if parting else [LetPartnerGo(self._reason)]
        return [*farewell, *self._end()]

    def _end(self) -> list[Command]:
        self.phase = Phase.OVER
        return [DropTranslators(), End(self._reason)]
