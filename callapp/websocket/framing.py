"""RFC 6455 frames: bytes in, messages out, and back. No I/O, no threads, no clock.

Why our own: a call moves some two hundred frames a second, and they are most of what a bridge does. wsproto
takes 8 to 13 µs to read one of Twilio's masked 394-byte frames, this module 1.5; and with the libraries' own
connections each frame also pays for a hop from a reader thread to ours (simple-websocket), or for locks and
a UTF-8 check in Python (websocket-client). Only the frames are ours: Flask-Sock upgrades, websocket-client
dials, and ``websockets`` has a C function that masks, in a fifteenth of the time that Python's integers take.
``tests/websocket/test_framing_against_libraries.py`` holds this module to wsproto and ``websockets``.

It is as strict as the stricter of the two: masks as demanded (section 5.1), reserved bits zero, opcodes
known, lengths in their shortest form (5.2), control frames whole and of at most 125 bytes (5.5), text in
UTF-8 (8.1), only close codes that may travel (7.4). Extensions are never negotiated, so none is known here.
"""

from __future__ import annotations

import os
from codecs import IncrementalDecoder, getincrementaldecoder
from dataclasses import dataclass
from struct import Struct

try:
    from websockets.speedups import apply_mask
except ImportError:  # no wheel for this platform, and no compiler
    from websockets.utils import apply_mask

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
PROTOCOL_ERROR, NO_STATUS, INVALID_DATA, TOO_BIG = 1002, 1005, 1007, 1009

_FIN = 0x80
_CONTROL = 0x08  # set in the opcodes of control frames
_WHOLE_TEXT = _FIN | TEXT
# All that a first byte may be: reserved bits zero, and no control frame without FIN.
_FIRST_BYTES = frozenset([0x00, 0x01, 0x02, 0x80, 0x81, 0x82, 0x88, 0x89, 0x8A])
# Headers by how long a length they hold (5.2), but for the masking key.
_short, _medium, _long = Struct(">BB").pack, Struct(">BBH").pack, Struct(">BBQ").pack
# Those of RFC 6455, 7.4.1, and IANA's registry that an endpoint may send; from 3000 on they are free.
_CLOSE_CODES = frozenset([1000, 1001, 1002, 1003, *range(1007, 1015), *range(3000, 5000)])


@dataclass(slots=True)
class Binary:
    """A whole binary message."""

    data: bytes


@dataclass(slots=True)
class Ping:
    """To be answered by a pong with the same data."""

    data: bytes


@dataclass(slots=True)
class Pong:
    """The answer to a ping; it may come unasked."""

    data: bytes


@dataclass(slots=True)
class Close:
    """The peer's close frame; ``code`` is `NO_STATUS` when it has none."""

    code: int
    reason: str


@dataclass(slots=True)
class Violation:
    """The peer broke the protocol; ``code`` is the one to close with."""

    code: int
    reason: str


# Text, by far the most frequent, stays plain bytes: known to be UTF-8, but not decoded.
Message = bytes | Binary | Ping | Pong | Close | Violation


class _BrokenError(Exception):
    """Carries the code and the reason of a `Violation` out of the parser."""


class Decoder:
    """Turns bytes into messages; however the bytes are cut, the messages are the same.

    Args:
        masked: whether the peer must mask its frames: a client must, a server must not.
        max_message_bytes: the longest message taken, all its fragments together.
    """

    __slots__ = (
        "_between",
        "_ended",
        "_fragments",
        "_glanced_from",
        "_glanced_second",
        "_mask_bit",
        "_needed",
        "_opcode",
        "_partial",
        "_room",
        "_utf8",
    )

    def __init__(self, *, masked: bool, max_message_bytes: int) -> None:
        self._mask_bit = 0x80 if masked else 0
        # Of a frame whose length takes two bytes: its second byte, and where its payload begins.
        self._glanced_second, self._glanced_from = (0xFE, 8) if masked else (0x7E, 4)
        self._room = max_message_bytes  # less the fragments that are there already
        self._partial = bytearray()  # the beginning of a frame
        self._needed = 0  # bytes of it that must be there before it is worth another look
        self._opcode = CONTINUATION  # of the message whose fragments are coming; CONTINUATION when none is
        self._fragments = bytearray()
        self._utf8: IncrementalDecoder | None = None  # a fragment may end in the middle of a character
        self._ended = False
        self._between = True  # nothing has begun, and more may come

    def glance(self, data: bytes) -> bytes | None:
        """Take what came in if it is one frame of text, whole, and of a length in two bytes: nearly always.

        ``None`` for all else, be it in order or not: that is for ``receive``, which takes everything.
        """
        length = len(data) - self._glanced_from
        if (
            length < 126
            or data[0] != _WHOLE_TEXT
            or data[1] != self._glanced_second
            or data[2] << 8 | data[3] != length
            or length > self._room
            or not self._between
        ):
            return None
        message = apply_mask(data[8:], data[4:8]) if self._mask_bit else data[4:]
        return message if message.isascii() or _is_utf8(message) else None

    def first_bytes(self, data: bytes) -> int:
        """Return how much is worth a glance: the first frame, if that may be one for it, or else all."""
        if len(data) < 4 or data[0] != _WHOLE_TEXT or data[1] != self._glanced_second:
            return len(data)
        return self._glanced_from + (data[2] << 8 | data[3])

    def receive(self, data: bytes) -> list[Message]:
        """Take what came in; return the messages it completes, in order.

        Nothing comes after a `Close` or a `Violation`: what the peer says then is ignored (1.4, 7.1.7).
        """
        text = self.glance(data)
        if text is not None:
            return [text]
        messages: list[Message] = []
        if self._partial:
            self._partial += data
            if len(self._partial) < self._needed:
                return messages
            data = bytes(self._partial)
            self._partial.clear()
        try:
            start = self._read_frames(data, messages)
        except _BrokenError as error:
            self._ended = True
            messages.append(Violation(*error.args))
        else:
            if start < len(data) and not self._ended:
                self._partial += data[start:]
        self._between = not (self._partial or self._opcode or self._ended)
        return messages

    def _read_frames(self, data: bytes, messages: list[Message]) -> int:
        """Append what the whole frames in ``data`` say; return where the unfinished one begins."""
        mask_bit = self._mask_bit
        size = len(data)
        start = 0
        while size - start > 1 and not self._ended:
            first = data[start]
            length = data[start + 1] ^ mask_bit  # over 127 when masked and must not be, or the reverse
            if first not in _FIRST_BYTES or length > 127 or (length > 125 and first & _CONTROL):
                raise _BrokenError(PROTOCOL_ERROR, f"no frame begins with {data[start : start + 2].hex()}")
            body = start + 2
            if length > 125:
                body += 2 if length == 126 else 8
                if body > size:
                    self._needed = body - start
                    return start
                shortest = 126 if length == 126 else 1 << 16
                length = int.from_bytes(data[start + 2 : body], "big")
                if length < shortest or length >> 63:
                    raise _BrokenError(PROTOCOL_ERROR, f"length {length} in {body - start - 2} bytes")
            if length > self._room and not first & _CONTROL:
                raise _BrokenError(TOO_BIG, "message too big")
            if mask_bit:
                body += 4
            end = body + length
            if end > size:
                self._needed = end - start
                return start
            payload = data[body:end]
            if mask_bit:
                payload = apply_mask(payload, data[body - 4 : body])
            if first == _WHOLE_TEXT and not self._opcode:
                if not payload.isascii():
                    _decode(payload)
                messages.append(payload)
            elif first & _CONTROL:
                messages.append(self._control(first, payload))
            else:
                self._fragment(first, payload, messages)
            start = end
        self._needed = 2
        return start

    def _control(self, first: int, payload: bytes) -> Message:
        if first == _FIN | PING:
            return Ping(payload)
        if first == _FIN | PONG:
            return Pong(payload)
        self._ended = True
        if not payload:
            return Close(NO_STATUS, "")
        code = int.from_bytes(payload[:2], "big")  # half a code is none of them either
        if code not in _CLOSE_CODES:
            raise _BrokenError(PROTOCOL_ERROR, f"no close frame carries {payload[:2].hex()}")
        return Close(code, _decode(payload[2:]))

    def _fragment(self, first: int, payload: bytes, messages: list[Message]) -> None:
        """Take a data frame, unless it is a whole text message."""
        opcode = first & 0x0F
        if (opcode == CONTINUATION) == (self._opcode == CONTINUATION):
            raise _BrokenError(PROTOCOL_ERROR, f"opcode {opcode} after opcode {self._opcode}")
        if opcode:
            self._opcode = opcode
            self._utf8 = getincrementaldecoder("utf-8")() if opcode == TEXT else None
        if self._utf8:
            _decode(payload, self._utf8, final=first >= _FIN)
        self._fragments += payload
        self._room -= len(payload)
        if first >= _FIN:
            whole = bytes(self._fragments)
            messages.append(whole if self._opcode == TEXT else Binary(whole))
            self._fragments.clear()
            self._room += len(whole)
            self._opcode = CONTINUATION


class Encoder:
    """Builds frames, for any number of connections and threads: all it keeps is masking keys in stock.

    Args:
        masked: whether to mask, as a client must and a server must not.
    """

    __slots__ = ("_keys", "_mask_bit")

    KEYS = 256  # drawn at once

    def __init__(self, *, masked: bool) -> None:
        self._mask_bit = 0x80 if masked else 0
        self._keys: list[bytes] = []

    def encode(self, opcode: int, payload: bytes) -> bytes:
        """Return the frame of a whole message; text must be UTF-8, a control frame's payload <= 125 bytes."""
        size = len(payload)
        mask_bit = self._mask_bit
        if size < 126:
            header = _short(_FIN | opcode, mask_bit | size)
        elif size < 1 << 16:
            header = _medium(_FIN | opcode, mask_bit | 126, size)
        else:
            header = _long(_FIN | opcode, mask_bit | 127, size)
        if not mask_bit:
            return header + payload
        # Each frame's key must be new and unpredictable (5.3): the system's, but not a call each.
        try:
            key = self._keys.pop()
        except IndexError:  # in another thread too, maybe
            drawn = os.urandom(4 * self.KEYS)
            self._keys.extend([drawn[start : start + 4] for start in range(4, len(drawn), 4)])
            key = drawn[:4]
        return header + key + apply_mask(payload, key)


def close_payload(code: int, reason: str) -> bytes:
    """Return what a close frame carries: nothing for `NO_STATUS`; of a reason the 123 bytes that fit."""
    if code == NO_STATUS:
        return b""
    return code.to_bytes(2, "big") + reason.encode()[:123].decode(errors="ignore").encode()


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def _decode(payload: bytes, utf8: IncrementalDecoder | None = None, *, final: bool = True) -> str:
    try:
        return utf8.decode(payload, final) if utf8 else payload.decode()
    except UnicodeDecodeError as error:
        raise _BrokenError(INVALID_DATA, "text is not UTF-8") from error
