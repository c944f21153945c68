"""Whom somebody who rings an interpreter wants to talk to, and in which language: asked by the keypad.

Each answer comes back to ``/incoming-call`` itself, with the keys that were pressed and, in the query,
what had been asked; nothing of it is kept here. Whoever rings could call anybody at our cost, so there
is no menu without ALLOWED_DESTINATIONS.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from callapp.agents import Agent
from callapp.call.pairing import OTHER_NUMBER, Place
from callapp.phone_numbers import existing_e164
from callapp.telephony import twiml
from callapp.telephony.interpreter_lines import Lines, lines

# In the query: which question the keys answer, and the language that was chosen before.
ASKED = "asked"
SIDE = "side"


@dataclass(frozen=True)
class Menu:
    """One agent's.

    Args:
        action: the address that answers go to, with a query.
        may_dial: whether a number, in E.164, may be called.
    """

    agent: Agent
    action: str
    may_dial: Callable[[str], bool]

    def answer(self, query: Mapping[str, str], digits: str) -> str | dict[str, str]:
        """The next question, as TwiML; or once all is known, what the call is to be known by."""
        match query.get(ASKED):
            case "language" if digits in ("1", "2"):
                return self._ask_number(int(digits) - 1)
            case "number" if query.get(SIDE) in ("0", "1"):
                side = int(query[SIDE])
                number = _dialled(digits)
                if number is None or not self.may_dial(number):
                    return self._ask_number(side, again=True)
                return {**Place.new(side).parameters, OTHER_NUMBER: number}
        return self._ask_language()

    def _ask_language(self) -> str:
        offers = [(one.tag, one.choose.format(key=key)) for key, one in enumerate(self._lines(), start=1)]
        return self._ask("language", offers, count=1, speaking=self._lines()[0])

    def _ask_number(self, side: int, *, again: bool = False) -> str:
        own = self._lines()[side]
        prompts = [(own.tag, own.wrong)] if again else []
        return self._ask(f"number&{SIDE}={side}", [*prompts, (own.tag, own.whom)], speaking=own)

    def _ask(
        self,
        asked: str,
        prompts: list[tuple[str, str]],
        *,
        speaking: Lines,
        count: int | None = None,
    ) -> str:
        action = f"{self.action}&{ASKED}={asked}"
        return twiml.ask_for_keys(prompts, action, count=count, otherwise=(speaking.tag, speaking.parting))

    def _lines(self) -> list[Lines]:
        return [lines(language) for language in self.agent.languages]


def _dialled(digits: str) -> str | None:
    """The number that was typed, in E.164; ``None`` if there is no such number."""
    return existing_e164(f"+{digits.removeprefix('00')}")
