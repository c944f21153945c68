"""What is told of a call while it happens: facts, each said once it is certain.

The record, the metrics, the traces and the live page are made of these and of nothing else. Every
fact says when it happened, ``at_ms``, by the call's clock: milliseconds since the stream began. What
was *heard* is told, not what was sent; nothing that the caller entered in secret is in here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from callapp.conversation.events import Usage

Role = Literal["agent", "caller", "other"]
"""``other`` is whom a caller talks to where no agent does."""
ToolOutcome = Literal["ok", "error", "timeout", "not_run", "abandoned"]


@dataclass(frozen=True, slots=True)
class Began:
    """The call's stream has begun. The first fact of a call."""

    at_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class ModelConnected:
    """A session of the model stands.

    Args:
        after_ms: so long after the stream began, or after the session before it was lost.
        again: whether there was one before it.
    """

    at_ms: float
    after_ms: float
    again: bool


@dataclass(frozen=True, slots=True)
class ModelDisconnected:
    """The model's session is gone, or was not to be had; ``reason`` is the end reason it would make."""

    at_ms: float
    reason: str


@dataclass(frozen=True, slots=True)
class FirstAudio:
    """The first audio of the agent's went to the phone."""

    at_ms: float


@dataclass(frozen=True, slots=True)
class TurnAnswered:
    """The caller finished speaking, and the agent began to answer: ``at_ms`` is its first byte sent.

    Args:
        index: counts the caller's turns that were answered, from 1.
        voice_to_voice_ms: from the caller's last sound to the first byte of the answer sent.
        audible_ms: from there to the first byte that is no silence, when the phone plays it.
        barge_in: whether the turn began by interrupting the agent.
    """

    at_ms: float
    index: int
    voice_to_voice_ms: float
    audible_ms: float
    barge_in: bool


@dataclass(frozen=True, slots=True)
class BargedIn:
    """The caller spoke, or pressed a key, while the agent was heard: the phone was told to be silent.

    Args:
        since_ms: when we heard of it. The journal is told after the ``clear`` was sent, so the time it is
            told at, less this, is how long the agent went on.
        item_id: what was being heard; ``None`` for a line that no model spoke.
        heard_ms: how much of it was heard, of the ``sent_ms`` that the phone had.
    """

    at_ms: float
    since_ms: float
    item_id: str | None
    heard_ms: int
    sent_ms: int


@dataclass(frozen=True, slots=True)
class Uttered:
    """Somebody has said something, from ``start_ms`` to ``end_ms``.

    Told once it was heard, and once more if more becomes known of it: the newest one counts. The order
    in which things were said is that of ``start_ms``, not that in which they are told.

    Args:
        item_id: names it, within this call.
        text: what was heard of it; ``None`` while it is not known, empty if there were no words in it.
        interrupted: whether it ends where the caller stopped hearing it.
        meant: all that the model had to say, where it was interrupted.
        growing: whether it is still being said, or written down; then it is told once more.
    """

    at_ms: float
    role: Role
    item_id: str
    text: str | None
    start_ms: float
    end_ms: float
    interrupted: bool = False
    meant: str | None = None
    growing: bool = False


@dataclass(frozen=True, slots=True)
class ToolRan:
    """A tool has come to its end, one way or another. ``at_ms`` is when the model called it.

    Args:
        arguments: as the model gave them: JSON, if it was well-behaved.
        output: what the model was told; ``None`` if nothing, or if nobody else may see it.
        outcome: ``ok``; ``error``, the tool said so; ``timeout``; ``not_run``; ``abandoned``, the call or
            the session ended first.
        duration_ms: how long the tool took.
    """

    at_ms: float
    tool_call_id: str
    name: str
    arguments: str
    output: str | None
    outcome: ToolOutcome
    duration_ms: float


@dataclass(frozen=True, slots=True)
class Used:
    """The service reported what it had used: for a response, or for a transcription."""

    at_ms: float
    usage: Usage


@dataclass(frozen=True, slots=True)
class KeysPressed:
    """The caller pressed keys that belong together; ``digits`` is ``None`` where they are secret."""

    at_ms: float
    count: int
    digits: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class AudioDropped:
    """While the model was away the caller said more than is kept: so much of it nobody will hear."""

    at_ms: float
    dropped_ms: float


@dataclass(frozen=True, slots=True)
class Fault:
    """Something went wrong that the call has survived so far.

    Args:
        words: the service's, which may quote what was said.
    """

    at_ms: float
    what: str
    words: str = ""


@dataclass(frozen=True, slots=True)
class Ended:
    """The call is over. Late words may still follow."""

    at_ms: float
    reason: str


@dataclass(frozen=True, slots=True)
class Recorded:
    """The call's recording is where it is kept. Told to the record alone, after the last fact.

    Args:
        from_ms: where in the call it begins: later than 0 if another process had the call before.
    """

    at_ms: float
    path: str
    seconds: float
    from_ms: int = 0


@dataclass(frozen=True, slots=True)
class Closed:
    """Nothing more is told of this call. The last fact."""

    at_ms: float


Fact = (
    Began
    | ModelConnected
    | ModelDisconnected
    | FirstAudio
    | TurnAnswered
    | BargedIn
    | Uttered
    | ToolRan
    | Used
    | KeysPressed
    | AudioDropped
    | Fault
    | Ended
    | Recorded
    | Closed
)
