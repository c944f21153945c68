"""What can happen on a call: the words that both legs translate into.

Names are in the past tense. The machine that takes them knows neither Twilio nor OpenAI.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from callapp.conversation.wishes import Transfer, Wish

# -- the model's side ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Usage:
    """What the service reports to have used: tokens read and written; cached ones are among those read.

    ``transcribed_s`` is the caller's speech that was transcribed, in seconds.
    """

    input_text: int = 0
    input_audio: int = 0
    cached_text: int = 0
    cached_audio: int = 0
    output_text: int = 0
    output_audio: int = 0
    transcribed_s: float = 0.0


@dataclass(frozen=True, slots=True)
class SessionConfirmed:
    """The model's session stands as asked, mu-law both ways: the conversation may begin.

    Args:
        lasts_ms: how long the service will keep it, ``None`` if it does not say.
        times_silence: whether the service breaks long silences by itself.
    """

    lasts_ms: float | None = None
    times_silence: bool = False


@dataclass(frozen=True, slots=True)
class SpeechStarted:
    """The model heard the caller begin to speak; what they say will be this item.

    ``audio_start_ms`` is where in the audio that the model was sent, its padding included.
    """

    item_id: str = ""
    audio_start_ms: int | None = None


@dataclass(frozen=True, slots=True)
class SpeechStopped:
    """The model heard the caller's turn end; it answers by itself.

    ``audio_end_ms`` is where in the audio that the model was sent, after the silence that it waited for.
    """

    audio_end_ms: int | None = None


@dataclass(frozen=True, slots=True)
class SilenceTimedOut:
    """The service has heard nobody for as long as it was told to wait: the model is about to speak."""


@dataclass(frozen=True, slots=True)
class ResponseStarted:
    """A response is active now. ``tag`` is the one its request carried, ``None`` if unknown."""

    response_id: str
    tag: str | None = None


@dataclass(frozen=True, slots=True)
class MessageStarted:
    """A spoken item of a response exists in the model's conversation; no audio of it came yet."""

    response_id: str
    item_id: str


@dataclass(frozen=True, slots=True)
class AgentSaid:
    """Words of an item that is spoken: more of them, or with ``whole`` all of them."""

    item_id: str
    text: str
    whole: bool = False


@dataclass(frozen=True, slots=True)
class CallerSaid:
    """What the caller said in an item, as a transcription understood it. Comes late."""

    item_id: str
    text: str
    usage: Usage | None = None


class Part(NamedTuple):
    """One stream of audio of the model: a content part of an item."""

    item_id: str
    content_index: int


@dataclass(slots=True)
class AudioArrived:
    """A piece of a part's audio: base64 of mu-law, as it came. Not frozen, for it comes often."""

    response_id: str
    part: Part
    payload: bytes


@dataclass(frozen=True, slots=True)
class AudioEnded:
    """No more audio comes for this part of an item."""

    response_id: str
    item_id: str
    content_index: int


@dataclass(frozen=True, slots=True)
class ToolCalled:
    """The model calls a tool. ``complete`` is false when the call was cut off half-written."""

    response_id: str
    tool_call_id: str
    name: str
    arguments: str
    complete: bool = True


@dataclass(frozen=True, slots=True)
class OutputTaken:
    """A tool's output stands in the model's conversation: responses that begin now know it."""

    tool_call_id: str


@dataclass(frozen=True, slots=True)
class LineTaken:
    """The same of a line that we have put there as this item."""

    item_id: str


@dataclass(frozen=True, slots=True)
class RemoteToolCalled:
    """The service has begun to run a tool by itself, in a response or after we had ``approved`` it."""

    item_id: str
    approved: bool = False


@dataclass(frozen=True, slots=True)
class RemoteToolReturned:
    """A tool that the service runs by itself is done, or was refused; it waits to be asked to go on."""

    item_id: str | None = None  # of the call; there was none where it was refused


@dataclass(frozen=True, slots=True)
class RemoteToolRan:
    """What became of a tool that the service ran by itself; for the record. May be told twice.

    Args:
        name: of its server and its own, ``crm.find_customer``.
        arguments: as the model gave them: JSON, if it was well-behaved.
        output: what the model was told; what went wrong, if it ``failed``.
    """

    item_id: str
    name: str
    arguments: str
    output: str
    failed: bool


@dataclass(frozen=True, slots=True)
class ResponseEnded:
    """A response is over. ``status``: completed, cancelled, failed or incomplete.

    ``tool_calls`` are all those that it made, told before or not. An ``empty`` one was completed with
    nothing in it. After one that failed, the service may ask to be left alone for ``wait_ms``.
    """

    response_id: str
    status: str = "completed"
    error_code: str | None = None
    tool_calls: tuple[ToolCalled, ...] = ()
    usage: Usage | None = None
    empty: bool = False
    wait_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class RequestRefused:
    """The model did not take our request for a response because another one is active."""

    request_id: str


@dataclass(frozen=True, slots=True)
class RequestFailed:
    """The model's service did not take our request for a response, for another reason than that.

    ``wait_ms`` as in `ResponseEnded`.
    """

    request_id: str
    wait_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class ServiceComplained:
    """The model's service reported an error that the session survives; for the record."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class ModelLost:
    """The model is gone: refused, dropped, or not to be trusted.

    Args:
        reason: the end reason, if the call ends of it.
        hopeless: whether another try would fare no better.
    """

    reason: str
    hopeless: bool = False


# -- the caller's side --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Played:
    """The phone has played all that was sent before this mark, or has thrown it away."""

    mark: str


@dataclass(frozen=True, slots=True)
class DigitPressed:
    """The caller pressed a key: ``0-9 * # A-D``. It may be of a secret, so no log shows it."""

    digit: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class CallerHungUp:
    """The phone's side ended the stream."""


@dataclass(frozen=True, slots=True)
class CallerLost:
    """The caller's socket went away without a word, or takes none any more."""

    reason: str = "twilio.disconnected"


@dataclass(frozen=True, slots=True)
class Answered:
    """The carrier has listened to who picked up.

    Args:
        machine: it is an answering machine; false for a person, and when the carrier cannot tell.
        recording: the machine has said its piece, and records now.
    """

    machine: bool
    recording: bool = False


# -- our own side -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ToolReturned:
    """A tool is done: its answer for the model, or what it wants of the conversation."""

    tool_call_id: str
    result: str | Wish


@dataclass(frozen=True, slots=True)
class TransferAsked:
    """Somebody outside the call wants it transferred; the caller is told, and then goes."""

    transfer: Transfer


@dataclass(frozen=True, slots=True)
class LeavingFailed:
    """The carrier did not take the call away as asked; ``why`` is for the model.

    Args:
        unsure: it did not say so: a stream that is over is one of a call that has left.
    """

    why: str
    unsure: bool = False


@dataclass(frozen=True, slots=True)
class CallerBack:
    """Another stream has brought the caller back; ``why``, in words, if a transfer did not come about."""

    why: str = ""


@dataclass(frozen=True, slots=True)
class WindUpAsked:
    """The call has to end soon, whoever is speaking: say a last goodbye and complete it."""

    reason: str


@dataclass(frozen=True, slots=True)
class Whispered:
    """Somebody on our side tells the model something, which the caller does not hear."""

    words: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class EndedElsewhere:
    """The call is known to be over by another way than its stream, or has to be cut at once."""

    reason: str


@dataclass(frozen=True, slots=True)
class CompletionFailed:
    """Twilio did not take the request to complete the call."""


@dataclass(frozen=True, slots=True)
class Tick:
    """Nothing happened, but a deadline has passed."""


Event = (
    SessionConfirmed
    | SpeechStarted
    | SpeechStopped
    | SilenceTimedOut
    | ResponseStarted
    | MessageStarted
    | AgentSaid
    | CallerSaid
    | AudioArrived
    | AudioEnded
    | ToolCalled
    | OutputTaken
    | LineTaken
    | RemoteToolCalled
    | RemoteToolReturned
    | RemoteToolRan
    | ResponseEnded
    | RequestRefused
    | RequestFailed
    | ServiceComplained
    | ModelLost
    | Played
    | DigitPressed
    | Answered
    | CallerHungUp
    | CallerLost
    | ToolReturned
    | TransferAsked
    | LeavingFailed
    | CallerBack
    | WindUpAsked
    | Whispered
    | EndedElsewhere
    | CompletionFailed
    | Tick
)
