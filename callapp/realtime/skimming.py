"""What is seen of a message where it is read.

What is urgent is handed on, the agent's words are put by, and what nobody needs is dropped.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from callapp.conversation.events import AudioArrived, Part, SpeechStarted
from callapp.errors import BadMessage
from callapp.realtime.events import KINDS, decode

# What is taken where it is read: the agent's voice, and that the caller interrupts it.
Urgent = AudioArrived | SpeechStarted

# The layout in which the service sends the agent's voice, some 50 times a second a call. The groups are what
# stands before the event's id, and between that and the payload.
_audio = re.compile(
    rb'(\{"type": ?"response\.output_audio\.delta", ?"event_id": ?")[\w-]+'
    rb'(", ?"response_id": ?"[\w-]+", ?"item_id": ?"[\w-]+", ?'
    rb'"output_index": ?\d+, ?"content_index": ?\d+, ?"delta": ?")[A-Za-z0-9+/=]*"\}'
).fullmatch
_payload_and_end = re.compile(rb'([A-Za-z0-9+/]*+={0,2}+)"\}').fullmatch
_begins = re.compile(rb'\{"type": ?"([a-z_.]+)"').match
_KNOWN = frozenset(kind.encode() for kind in KINDS)
_WORDS = b"response.output_audio_transcript.delta"
# Urgent, or told of every item and needed of few.
_DECODED = frozenset(
    [
        b"response.output_audio.delta",
        b"input_audio_buffer.speech_started",
        b"conversation.item.added",
        b"conversation.item.done",
        b"response.output_item.done",
    ]
)


def is_needed(data: bytes) -> bool:
    """Whether anything here may need this message, by its type."""
    begins = _begins(data)
    return begins is None or begins[1] in _KNOWN


class Skimmer:
    """Takes the messages of one session where they are read.

    A part's audio comes in hundreds of pieces, which differ in the event's id and the payload alone. So what
    stands around those is remembered, and only the first piece is read as JSON.

    The words that go with it come four times a second, and nothing is decided on a few of them. To read each
    where it comes, between other calls' audio, costs three times as much as to read some together.

    Args:
        go_on: is given more audio of the part that is remembered, base64.
        hear: is given all else that is urgent, and what ``go_on`` returned false for. What it returns false
            for is left. Neither may wait.
        clock: by which it is noted when words came, in seconds.
    """

    __slots__ = (
        "_before_id",
        "_before_payload",
        "_clock",
        "_go_on",
        "_hear",
        "_part",
        "_response_id",
        "_words",
    )

    def __init__(
        self,
        go_on: Callable[[Part, bytes], bool],
        hear: Callable[[Urgent], bool],
        clock: Callable[[], float],
    ) -> None:
        self._go_on = go_on
        self._hear = hear
        self._clock = clock
        self._before_id = self._before_payload = b"\0"  # as no message begins
        self._response_id = ""
        self._part = Part("", 0)
        self._words: list[tuple[bytes, float]] = []

    def take(self, message: bytes) -> bool:
        """Hand on what is urgent, put words by, skip what nobody needs; false for all else."""
        before_payload = self._before_payload
        id_end = message.find(b'"', len(self._before_id))
        if message.startswith(before_payload, id_end) and message.startswith(self._before_id):
            rest = _payload_and_end(message, id_end + len(before_payload))
            if rest is not None and not len(rest[1]) & 3:
                part, payload = self._part, rest[1]
                return self._go_on(part, payload) or self._hear(
                    AudioArrived(self._response_id, part, payload)
                )
        event = self._read(message)
        return event is False or (event is not True and self._hear(event))

    def take_words(self) -> list[tuple[bytes, float]]:
        """What was put by: messages, and when each came. From any thread, one at a time."""
        words = self._words[:]  # there may be more at any moment
        del self._words[: len(words)]
        return words

    def _read(self, message: bytes) -> Urgent | bool:
        """Read what is urgent, put words by; of all else say whether anything here needs it.

        That is seen by a glance at the beginning, where the service has the type; of items only some are
        needed.
        """
        begins = _begins(message)
        if begins is None:
            return True
        if begins[1] == _WORDS:
            self._words.append((message, self._clock()))
            return False
        if begins[1] not in _DECODED:
            return begins[1] in _KNOWN
        try:
            decoded = decode(message)
        except BadMessage:
            return True
        if isinstance(decoded, AudioArrived):
            self._remember(message, decoded)
        return decoded if isinstance(decoded, Urgent) else decoded is not None

    def _remember(self, message: bytes, audio: AudioArrived) -> None:
        """What is like this message but for its id and its payload is of the same part."""
        layout = _audio(message)
        if layout is not None:
            self._before_id, self._before_payload = layout.groups()
            self._response_id, self._part = audio.response_id, audio.part
