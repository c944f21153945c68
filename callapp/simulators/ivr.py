"""A phone that is answered by a machine: it reads out menus and goes where the keys lead. Pure.

    Ivr(Menu(clip("main"), {"1": Menu(clip("sales")), "2": Menu(clip("support"), {"9": ...})}))

Keys reach it from the carrier (``<Play digits>``); or, where it is told to hear tones, as the sound
that comes down the line, through a filter of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from callapp.simulators.callee import Callee, Deed
from callapp.simulators.clips import Clip
from callapp.simulators.keypad import KeyListener
from callapp.simulators.sound import FRAME_MS


@dataclass(frozen=True)
class Menu:
    """What is read out, and where each key leads. Without choices it is the end of the way."""

    prompt: Clip
    choices: Mapping[str, Menu] = field(default_factory=dict)


class Ivr(Callee):
    """A machine at the other end of a call.

    Args:
        hears_tones: take keys by their sound alone; else those that the carrier sends alone, as a line
            does that swallows the sound.
        repeats_after_ms: of silence, a menu with choices is read out again.
    """

    def __init__(
        self, menu: Menu, *, hears_tones: bool = False, repeats_after_ms: int = 4_000, rings_ms: int = 0
    ) -> None:
        super().__init__(rings_ms=rings_ms)
        self.path = ""
        """The keys that led somewhere."""
        self.wrong_keys = ""
        self.menu = menu
        self._listener = KeyListener() if hears_tones else None
        self._repeats_after_ms = repeats_after_ms
        self._quiet_ms = repeats_after_ms  # it begins to read at once
        self._read = False

    def key_heard(self, key: str) -> None:
        super().key_heard(key)
        if self._listener is None:
            self._go(key)

    def live(self, heard: bytes) -> Deed:
        if self._listener is not None and (key := self._listener.hear(heard)):
            self.keys_heard += key
            self._go(key)
        deed = super().live(heard)
        if self.speaking:
            self._quiet_ms = 0
        elif not self._read or (self.menu.choices and self._quiet_ms >= self._repeats_after_ms):
            self.say(self.menu.prompt)
            self._read = True
        else:
            self._quiet_ms += FRAME_MS
        return deed

    def _go(self, key: str) -> None:
        chosen = self.menu.choices.get(key)
        if chosen is None:
            self.wrong_keys += key
            return
        self.path += key
        self.menu = chosen
        self._read = False
        self.fall_silent()
