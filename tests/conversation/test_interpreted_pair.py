"""Both sides of an interpreted call at once, by the clock of this test: who hears what, and how both end.

What is around the two machines is as `call` has it: a way between them, translators that lag, are lost,
replaced, or never finish, and phones that are put down at any moment. A failure names its seed.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from heapq import heappop, heappush
from itertools import count
from random import Random

from callapp.conversation.interpreting import (
    LAST_WORDS_MS,
    MARK_SPARE_MS,
    PARTNER_WITHIN_MS,
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
    TranslatorReady,
    UseTranslator,
)

TERMS = Terms(most_ms=30_000, session_ms=5_000)
WORD_MS = 200
# How far a translator lags behind.
MOST_LAG_MS = 2_500
# From one process to the other.
MOST_WAY_MS = 30
# How often a machine is told that time has passed.
TICK_MS = 100
MARK_BACK_MS = 300
LONGEST_MS = PARTNER_WITHIN_MS + TERMS.most_ms + LAST_WORDS_MS + MARK_SPARE_MS
RUNS = 400


class World:
    """The clock, and what is due. What goes the same way happens in the order in which it was sent."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.now_ms = 0.0
        self._due: list[tuple[float, int, Callable[[], object]]] = []
        self._numbers = count()
        self._ways: dict[object, float] = {}

    def later(self, most_ms: float, do: Callable[[], object], way: object) -> None:
        at_ms = max(self.now_ms + self.random.uniform(0, most_ms), self._ways.get(way, 0.0))
        self._ways[way] = at_ms
        self.at(at_ms, do)

    def at(self, at_ms: float, do: Callable[[], object]) -> None:
        heappush(self._due, (at_ms, next(self._numbers), do))

    def run(self, until_ms: float) -> None:
        while self._due and self._due[0][0] <= until_ms:
            self.now_ms, _, do = heappop(self._due)
            do()


class FakeTranslator:
    """Says each word that it hears, in order, after a while; and in the end that this was all."""

    def __init__(self, side: FakeSide, number: int, *, hangs: bool) -> None:
        self._side = side
        self._number = number
        self._hangs = hangs  # at the end
        self.words: list[int] = []
        self.finishing = self.lost = self.finished = self.dropped = False

    @property
    def is_good(self) -> bool:
        """Whether it is to be expected that all that it has heard is heard by the partner."""
        return self.finishing and not (self._hangs or self.lost)

    def hear(self, word: int) -> None:
        assert not self.finishing, "it is spoken to after it was told that this was all"
        assert not self.dropped
        if not self.lost:
            self.words.append(word)
            self._say(lambda: self._side.mixer.append(word))

    def finish(self) -> None:
        assert not self.finishing, "it is told twice"
        assert not self.dropped
        self.finishing = True
        if not self._hangs:
            self._say(self._finish)

    def lose(self, hopeless: bool) -> None:
        if not (self.finished or self.dropped or self.lost):
            self.lost = True
            self._side.hear_of(TranslatorLost(self._number, "openai.disconnected", hopeless))

    def be_ready(self) -> None:
        if not (self.lost or self.dropped):
            self._side.hear_of(TranslatorReady(self._number))

    def _finish(self) -> None:
        self.finished = True
        self._side.hear_of(TranslatorFinished(self._number))

    def _say(self, do: Callable[[], object]) -> None:
        def unless_gone() -> None:
            if not (self.lost or self.dropped):
                do()

        self._side.world.later(MOST_LAG_MS, unless_gone, self)


class FakeSide:
    """A machine, its phone, and the way to the partner."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.machine = Interpreting(TERMS)
        self.partner: FakeSide | None = None
        self.translators: list[FakeTranslator] = []
        self.mixer: list[int] = []  # translated, and to be heard by the partner
        self.heard: list[int] = []  # of the partner's words
        self.commands: list[Command] = []
        self.phone_gone_ms: float | None = None
        self.left_ms: float | None = None  # when it was told that the partner has
        self.ended_ms: float | None = None
        self._using: int | None = None
        self._said = 0

    # -- what happens ---------------------------------------------------------------------------

    def tick(self) -> None:
        self.receive(TimePassed())
        if not self.machine.over:
            self.world.at(self.world.now_ms + TICK_MS, self.tick)

    def speak(self) -> None:
        """Say a word, to whom it is for."""
        if self.machine.phase is not Phase.TOGETHER:
            return
        if self._using is not None:
            self.translators[self._using - 1].hear(self._said)
        self._said += 1
        self._hand_on(1)
        self.world.at(self.world.now_ms + WORD_MS, self.speak)

    def lose_phone(self, reason: str) -> None:
        if self.ended_ms is None:
            self.phone_gone_ms = self.world.now_ms
            self.receive(PhoneLost(reason))

    def meet(self, partner: FakeSide) -> None:
        self.partner = partner
        self.receive(Met())
        self.speak()

    def let_go(self, reason: str) -> None:
        self.left_ms = self.left_ms or self.world.now_ms
        self.receive(PartnerLeft(reason))

    def hear_of(self, event: Event) -> None:
        """Something is put into the inbox by another thread."""
        self.world.later(20, lambda: self.receive(event), self)

    def receive(self, event: Event) -> None:
        commands = self.machine.receive(event, self.world.now_ms)
        assert not (commands and self.ended_ms is not None), "something is done after the end"
        for command in commands:
            self._perform(command)

    # -- what is done ---------------------------------------------------------------------------

    def _perform(self, command: Command) -> None:
        self.commands.append(command)
        match command:
            case DialTranslator(after_ms=after_ms):
                self._dial(after_ms)
            case UseTranslator(number=number):
                self._using = number
            case FinishTranslator(number=number):
                self.translators[number - 1].finish()
            case DropTranslators():
                for translator in self.translators:
                    translator.dropped = True
            case MarkEnd(mark=mark):
                if self.world.random.random() < 0.9:
                    self.world.later(MARK_BACK_MS, lambda: self.receive(MarkPlayed(mark)), "mark")
            case LetPartnerGo(reason=reason):
                self._hand_on(len(self.mixer))
                told = "other.hung_up" if reason.startswith(("caller.", "twilio.", "other.")) else reason
                self._send(lambda partner: partner.let_go(told))
            case End():
                self.ended_ms = self.world.now_ms

    def _dial(self, after_ms: float) -> None:
        world, random = self.world, self.world.random
        translator = FakeTranslator(self, len(self.translators) + 1, hangs=random.random() < 0.1)
        self.translators.append(translator)
        dialled_ms = world.now_ms + after_ms + random.uniform(0, 800)
        fails, hopeless, breaks = (random.random() < share for share in (0.1, 0.1, 0.3))
        if fails:
            world.at(dialled_ms, partial(translator.lose, hopeless))
            return
        world.at(dialled_ms, translator.be_ready)
        if breaks:
            world.at(dialled_ms + random.uniform(0, 10_000), partial(translator.lose, False))

    def _hand_on(self, most: int) -> None:
        words, self.mixer = self.mixer[:most], self.mixer[most:]
        if words:
            self._send(lambda partner: partner.heard.extend(words))

    def _send(self, do: Callable[[FakeSide], object]) -> None:
        assert self.partner is not None
        assert LetPartnerGo not in map(type, self.commands[:-1]), "the partner was let go before"
        self.world.later(MOST_WAY_MS, partial(do, self.partner), (self, "way"))


def play(seed: int) -> tuple[FakeSide, FakeSide]:
    """Two people are connected, or are not, and put down their phones, or do not."""
    world = World(seed)
    random = world.random
    one, other = FakeSide(world), FakeSide(world)
    comes_ms = random.choice([random.uniform(0, 2_000), random.uniform(0, 60_000)])

    def come() -> None:
        other.tick()
        if one.machine.phase is Phase.ALONE:
            other.meet(one)
            one.meet(other)
        else:
            other.let_go("other.hung_up")

    one.tick()
    fate = random.random()
    if fate < 0.9:
        world.at(comes_ms, come)
    elif fate < 0.95:
        world.at(comes_ms, partial(one.let_go, "other.unreachable"))
    for side, from_ms in ((one, 0.0), (other, comes_ms)):
        ending = random.random()
        at_ms = max(from_ms, comes_ms + random.uniform(-2_000, 20_000))
        if ending < 0.6:
            world.at(at_ms, partial(side.lose_phone, "caller.hung_up"))
        elif ending < 0.7:
            world.at(at_ms, partial(side.lose_phone, "twilio.disconnected"))
        elif ending < 0.8:
            world.at(at_ms, partial(side.receive, Told("server.draining")))
    world.run(2 * LONGEST_MS)
    return one, other


def check_that_both_end(one: FakeSide, other: FakeSide) -> None:
    """Once, for a reason of somebody's doing, and soon after the first of them has gone."""
    sides = (one, other) if one.partner is not None else (one,)
    for side in sides:
        assert side.ended_ms is not None, "it never ends"
        assert side.machine.end_reason is not None
        assert isinstance(side.commands[-1], End)
        if side.phone_gone_ms is not None:
            assert side.ended_ms <= side.phone_gone_ms + LAST_WORDS_MS + TICK_MS
        if side.left_ms is not None:
            assert side.ended_ms <= side.left_ms + MARK_SPARE_MS + TICK_MS
    if one.partner is None:
        assert one.ended_ms is not None
        assert one.ended_ms <= PARTNER_WITHIN_MS + TICK_MS
        assert CallOff() in one.commands, "the other's phone rings for nobody"
    else:
        assert {side.machine.end_reason for side in sides} != {"other.hung_up"}, "it was nobody's doing"
        assert all(side.left_ms or side.partner.left_ms for side in sides if side.partner is not None)


def check_what_is_heard(speaker: FakeSide, listener: FakeSide) -> None:
    """What a translator was told is heard once, if it lived to say it and the listener to hear it."""
    assert len(listener.heard) == len(set(listener.heard)), "something is heard twice"
    assert speaker.ended_ms is not None
    hung_up = speaker.phone_gone_ms is not None and speaker.left_ms is None
    if not hung_up or listener.phone_gone_ms is not None or speaker.ended_ms >= TERMS.most_ms:
        return
    for translator in speaker.translators:
        if translator.is_good:
            assert set(translator.words) <= set(listener.heard), "last words are not heard"


def test_whenever_somebody_goes_both_calls_end_and_the_last_words_are_heard() -> None:
    for seed in range(RUNS):
        one, other = play(seed)
        try:
            check_that_both_end(one, other)
            if one.partner is not None:
                check_what_is_heard(one, other)
                check_what_is_heard(other, one)
        except AssertionError as error:
            error.add_note(f"in play({seed})")
            raise
