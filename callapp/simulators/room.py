"""Where phones hear one another: two that a ``<Dial>`` has joined, or a conference.

Runs in the event loop, 20 ms at a time. As long as nobody is there who starts it, those who wait hear
music; when somebody leaves who ends it, everybody is sent out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from callapp.simulators.sound import FRAME_BYTES, FRAME_MS, SILENCE, is_voiced
from callapp.simulators.ulaw import tone

if TYPE_CHECKING:
    from callapp.simulators.phone_record import CallRecord

MUSIC = tone(400, FRAME_MS, 0.1)
_SILENT = SILENCE * FRAME_BYTES


@dataclass(eq=False)
class _Member:
    record: CallRecord
    hang_up: Callable[[], None]
    starts: bool
    voice: bytes = _SILENT


class Room:
    """Some phones together."""

    def __init__(self) -> None:
        self.members: list[_Member] = []
        self._over = asyncio.Event()
        self._clock: asyncio.Task[None] | None = None

    async def stay(
        self, record: CallRecord, hang_up: Callable[[], None], *, starts: bool, ends: bool
    ) -> None:
        """Be in the room until it is over."""
        member = _Member(record, hang_up, starts)
        self.members.append(member)
        if self._clock is None:
            self._clock = asyncio.create_task(self._run())
        try:
            await self._over.wait()
        finally:
            self.members.remove(member)
            if ends or not self.members:
                self._over.set()
                self._clock.cancel()

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        began_s, frames = loop.time(), 0
        while True:
            self._live()
            frames += 1
            await asyncio.sleep(began_s + frames * FRAME_MS / 1000 - loop.time())

    def _live(self) -> None:
        """Let everybody live through the next 20 ms."""
        started = any(member.starts for member in self.members)
        heard = [self._heard_by(member) if started else MUSIC for member in self.members]
        for member, sound in zip(list(self.members), heard, strict=True):
            record = member.record
            with record.changed:
                record.talk += sound
                deed = record.live_through(sound)
            member.voice = deed.voice
            if deed.hangs_up:
                member.hang_up()

    def _heard_by(self, member: _Member) -> bytes:
        """Whoever speaks of the others; two at once are not mixed."""
        voices = [other.voice for other in self.members if other is not member]
        return next((voice for voice in voices if is_voiced(voice)), _SILENT)
