"""What a lost session stands for. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Loss:
    """What a lost session means. A hopeless one would fare no better if it were dialled again."""

    reason: str
    hopeless: bool = False
