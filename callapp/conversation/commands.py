"""What the conversation decides: verbs, performed in the order in which they are given."""

from __future__ import annotations

from dataclasses import dataclass, field

from callapp.conversation.history import Line
from callapp.conversation.wishes import Trip

# How the ids of lines begin that have one.
LINE_ID = "line_"

# -- to the caller ------------------------------------------------------------------------------


@dataclass(slots=True)
class PlayAudio:
    """Queue audio on the phone: base64 of mu-law, passed through. Not frozen, for it comes often."""

    payload: bytes


@dataclass(frozen=True, slots=True)
class SendMark:
    """Have the phone say when all audio sent so far has been played."""

    name: str


@dataclass(frozen=True, slots=True)
class ClearAudio:
    """Throw away what the phone has queued and not played."""


# -- to the model -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class OpenAudio:
    """Let the caller's audio flow to the model, what was kept so far first."""


@dataclass(frozen=True, slots=True)
class CloseAudio:
    """Keep the caller's audio: the model is not there to hear it."""


@dataclass(frozen=True, slots=True)
class Tell:
    """Put a line into the model's conversation as text. ``role``: agent, caller or system.

    Nothing ``sensitive`` shows in a log. With an ``item_id``, ``LineTaken`` says that it stands there.
    """

    role: str
    text: str
    sensitive: bool = False
    item_id: str | None = field(default=None, compare=False)

    def __repr__(self) -> str:
        return f"Tell(role={self.role!r}, text={_shown(self.text, self.sensitive)})"


@dataclass(frozen=True, slots=True)
class CreateResponse:
    """Ask the model to speak.

    Args:
        request_id: comes back if the request is refused.
        tag: comes back with the response that the request leads to.
        instructions: for this response alone, in place of the agent's; ``None`` keeps them.
        tools_allowed: whether the model may call tools in it.
    """

    request_id: str
    tag: str
    instructions: str | None = None
    tools_allowed: bool = True


@dataclass(frozen=True, slots=True)
class CancelResponse:
    """Stop the active response."""

    response_id: str


@dataclass(frozen=True, slots=True)
class TruncateItem:
    """Make the model forget what of an item was not heard. ``heard_ms`` is at least 1."""

    item_id: str
    content_index: int
    heard_ms: int


@dataclass(frozen=True, slots=True)
class DeleteItem:
    """Make the model forget an item of which nothing was heard."""

    item_id: str


@dataclass(frozen=True, slots=True)
class AnswerTool:
    """Give the model the one output of a tool call. Nothing ``sensitive`` shows in a log."""

    tool_call_id: str
    output: str
    sensitive: bool = False

    def __repr__(self) -> str:
        output = _shown(self.output, self.sensitive)
        return f"AnswerTool(tool_call_id={self.tool_call_id!r}, output={output})"


@dataclass(frozen=True, slots=True)
class TimeSilence:
    """Have the service break a long silence by itself, or not."""

    on: bool


@dataclass(frozen=True, slots=True)
class DropModel:
    """Give this session up; ``why`` is for the log."""

    why: str


@dataclass(frozen=True, slots=True)
class Reconnect:
    """Open a new session after a while; its confirmation comes back as ``SessionConfirmed``."""

    after_ms: float


# -- to our own side ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RunTool:
    """Run a tool off the audio threads; its result comes back as ``ToolReturned``."""

    tool_call_id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Warn:
    """Write a warning to the log."""

    words: str


@dataclass(frozen=True, slots=True)
class LeaveStream:
    """Have the carrier take the call away, off the audio threads.

    If that cannot be, ``LeavingFailed`` comes back; if it can, the stream ends, and ``CallerBack`` comes
    with the next one, if there is one.

    Args:
        said: what was said so far, for another process that the caller may come back to.
        spent_usd: what the call has cost so far, for that one, too.
    """

    trip: Trip
    said: tuple[Line, ...]
    spent_usd: float


@dataclass(frozen=True, slots=True)
class RecallCaller:
    """Have the carrier bring the caller back from where they wait, off the audio threads."""


@dataclass(frozen=True, slots=True)
class CompleteCall:
    """End the phone call through the carrier, off the audio threads."""


@dataclass(frozen=True, slots=True)
class Finish:
    """Close both legs: the call is over, for this reason."""

    reason: str


Command = (
    PlayAudio
    | SendMark
    | ClearAudio
    | OpenAudio
    | CloseAudio
    | Tell
    | DropModel
    | Reconnect
    | CreateResponse
    | CancelResponse
    | TruncateItem
    | DeleteItem
    | AnswerTool
    | TimeSilence
    | RunTool
    | Warn
    | LeaveStream
    | RecallCaller
    | CompleteCall
    | Finish
)


def _shown(text: str, sensitive: bool) -> str:
    return "…" if sensitive else repr(text)
