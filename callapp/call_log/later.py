"""What could not be written down when it was told: it is, once the database answers again."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from callapp.call_log.store import StoreUnavailable
from callapp.call_log.writer import Writer
from callapp.logs import CallLogger

Note = Callable[[], object]


class Later(Writer[Note]):
    """Notes of what nobody tells twice. Safe from any thread; its own runs once a note has to wait."""

    def __init__(self) -> None:
        super().__init__(_write, name="later")

    def note(self, note: Note, what: str, log: CallLogger) -> None:
        """Write something down at once, or else as soon as that can be.

        Args:
            note: does so; may be called again, and after what was told later. Raises `StoreUnavailable`.
            what: for the log.
        """
        try:
            note()
        except StoreUnavailable as error:
            log.error("! %s: not noted yet: %s", what, error)
            self.put(note)


def _write(notes: Sequence[Note]) -> None:
    for note in notes:
        note()
