"""The other side says the same again and again: a recorded menu, or a person who is not heard.

A menu that got no choice starts anew, and the model, which answers each turn for itself, may answer it
for ever. So what was said three times is pointed out to it, once.
"""

from __future__ import annotations

from difflib import SequenceMatcher

ENOUGH = 3
# Words that people say often are no announcement.
LEAST_CHARS = 16
# A transcription hears the same recording a little differently each time.
ALIKE = 0.8
REMEMBERED = 40
MOST_CHARS = 300


class Repetition:
    """What the other side has said, as far as it may be said again."""

    def __init__(self) -> None:
        self._said: list[str] = []
        self._pointed_out: list[str] = []

    def heard(self, text: str) -> str | None:
        """Take a transcript; return what the model has to know, if that is that it has been said before."""
        said = "".join(filter(str.isalnum, text.casefold()))[:MOST_CHARS]
        if len(said) < LEAST_CHARS:
            return None
        like = SequenceMatcher(None, b=said, autojunk=False)  # which studies the second once for all
        if any(known == said or _alike(like, known) for known in self._pointed_out):
            return None
        before = sum(other == said or _alike(like, other) for other in self._said)
        self._said = [*self._said[1 - REMEMBERED :], said]
        if before + 1 < ENOUGH:
            return None
        self._pointed_out.append(said)
        return (
            f"The other side has now said the same for the 3rd time: {text.strip()[:MOST_CHARS]!r}. If it is "
            "a recorded menu, it waits for a choice: make one, with keys if it asks for keys, or say what it "
            "asks you to say. If nothing fits, or a choice had no effect, end the call. If it is a person, "
            "they were not understood: answer otherwise than before."
        )


def _alike(like: SequenceMatcher[str], other: str) -> bool:
    like.set_seq1(other)
    return like.real_quick_ratio() >= ALIKE and like.quick_ratio() >= ALIKE and like.ratio() >= ALIKE
