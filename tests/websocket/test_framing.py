"""The frames of RFC 6455, one fact at a time. Section numbers are the RFC's."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import count

import pytest

from callapp.websocket.framing import (
    BINARY,
    CLOSE,
    PING,
    PONG,
    TEXT,
    Binary,
    Close,
    Decoder,
    Encoder,
    Message,
    Ping,
    Pong,
    Violation,
    close_payload,
)


def from_server(data: bytes, max_message_bytes: int = 2**20) -> list[Message]:
    return Decoder(masked=False, max_message_bytes=max_message_bytes).receive(data)


def from_client(data: bytes) -> list[Message]:
    return Decoder(masked=True, max_message_bytes=2**20).receive(data)


def test_the_examples_of_the_rfc() -> None:
    """Section 5.7."""
    assert from_server(bytes.fromhex("810548656c6c6f")) == [b"Hello"]
    assert from_client(bytes.fromhex("818537fa213d7f9f4d5158")) == [b"Hello"]
    assert from_server(bytes.fromhex("010348656c80026c6f")) == [b"Hello"]
    assert from_server(bytes.fromhex("890548656c6c6f")) == [Ping(b"Hello")]
    assert from_client(bytes.fromhex("8a8537fa213d7f9f4d5158")) == [Pong(b"Hello")]
    assert from_server(b"\x82\x7e\x01\x00" + bytes(256)) == [Binary(bytes(256))]
    assert from_server(b"\x82\x7f\x00\x00\x00\x00\x00\x01\x00\x00" + bytes(65536)) == [Binary(bytes(65536))]


def test_what_a_glance_tells_is_one_whole_text_in_utf8() -> None:
    text = "はい".encode() * 50
    frame = b"\x81\x7e" + len(text).to_bytes(2, "big") + text
    glance = Decoder(masked=False, max_message_bytes=2**20).glance
    assert glance(frame) == text
    for other in (frame[:-1], frame + b"\x81", frame[:-1] + b"a", b"\x82" + frame[1:], b"\x81\x05Hello", b""):
        assert glance(other) is None


def test_a_glance_tells_nothing_of_what_is_refused() -> None:
    """A text within a message (5.4), and one that is too long."""
    frame = b"\x81\x7e\x00\x7e" + bytes(126)
    decoder = Decoder(masked=False, max_message_bytes=2**20)
    assert decoder.receive(b"\x01\x01a") == []
    assert decoder.receive(frame) == [Violation(1002, "opcode 1 after opcode 1")]
    assert from_server(frame, max_message_bytes=125) == [Violation(1009, "message too big")]


def test_a_ping_may_come_between_fragments() -> None:
    assert from_server(b"\x01\x01a\x89\x01p\x00\x01b\x80\x01c") == [Ping(b"p"), b"abc"]


def test_a_character_may_be_cut_between_fragments() -> None:
    assert from_server(b"\x01\x01\xe3\x00\x01\x81\x80\x01\x82") == ["あ".encode()]


def test_a_close_frame_may_come_between_fragments() -> None:
    """Control frames may (5.4). wsproto takes it as well; `websockets` calls it a protocol error."""
    assert from_server(b"\x01\x01a\x88\x02\x03\xe8") == [Close(1000, "")]


def test_a_close_frame_without_a_code_reads_as_1005() -> None:
    assert from_server(b"\x88\x00") == [Close(1005, "")]


def test_nothing_after_a_close_frame_is_read() -> None:
    decoder = Decoder(masked=False, max_message_bytes=100)
    assert decoder.receive(b"\x81\x01a\x88\x00\x81\x01b") == [b"a", Close(1005, "")]
    assert decoder.receive(b"\x81\x01c") == []


def test_messages_before_a_violation_count() -> None:
    decoder = Decoder(masked=False, max_message_bytes=100)
    messages = decoder.receive(b"\x81\x01a\x83\x00\x81\x01b")
    assert messages == [b"a", Violation(1002, "no frame begins with 8300")]
    assert decoder.receive(b"\x81\x01c") == []


@pytest.mark.parametrize(
    ("code", "data", "fact"),
    [
        (1002, "c100", "a reserved bit without an extension (5.2)"),
        (1002, "a100", "another"),
        (1002, "9100", "the third"),
        (1002, "8300", "a reserved opcode (5.2)"),
        (1002, "8b00", "a reserved control opcode (5.2)"),
        (1002, "818100000000", "a server that masks (5.1)"),
        (1002, "0900", "a control frame in fragments (5.5)"),
        (1002, "897e007e", "a control frame over 125 bytes (5.5)"),
        (1002, "8000", "a continuation of nothing (5.4)"),
        (1002, "01008100", "a message within a message (5.4)"),
        (1002, "817e007d", "two bytes of length where one suffices (5.2)"),
        (1002, "817f000000000000ffff", "eight bytes of length where two suffice (5.2)"),
        (1002, "817f8000000000000000", "the highest bit of a length (5.2)"),
        (1002, "880103", "half a close code (5.5.1)"),
        (1002, "88020000", "a close code below 1000 (7.4.2)"),
        (1002, "880203ec", "close code 1004, reserved (7.4.1)"),
        (1002, "880203ed", "close code 1005, which never travels (7.4.1)"),
        (1002, "880203ee", "close code 1006, likewise"),
        (1002, "880203f7", "close code 1015, likewise"),
        (1002, "88020bb7", "close code 2999, of no meaning yet (7.4.2)"),
        (1002, "88021388", "close code 5000 (7.4.2)"),
        (1007, "880303e8ff", "a close reason that is not UTF-8 (5.5.1)"),
        (1007, "8101ff", "text that is not UTF-8 (8.1)"),
        (1007, "8103eda080", "a surrogate half"),
        (1007, "8102c0af", "an overlong form"),
        (1007, "8101e3", "a text that ends within a character"),
        (1007, "0101ff", "the first fragment gives it away"),
        (1007, "0101e38000", "a fragmented text that ends within a character"),
        (1009, "817f0000000000100001", "a message over the limit, at its header"),
        (1009, "027f00000000000fffff" + "00" * 0xFFFFF + "8002", "fragments over the limit together"),
    ],
)
def test_refuses(code: int, data: str, fact: str) -> None:
    *_, last = from_server(bytes.fromhex(data))
    assert isinstance(last, Violation), fact
    assert last.code == code


def test_a_server_refuses_unmasked_frames() -> None:
    """Section 5.1."""
    assert from_client(b"\x81\x00") == [Violation(1002, "no frame begins with 8100")]


def test_a_message_as_long_as_the_limit_is_taken_and_pings_do_not_count() -> None:
    assert from_server(b"\x01\x02ab\x89\x03ppp\x80\x02cd\x81\x04efgh\x81\x05", 4) == [
        Ping(b"ppp"),
        b"abcd",
        b"efgh",
        Violation(1009, "message too big"),
    ]


@pytest.mark.parametrize("code", [1000, 1001, 1003, 1007, 1011, 1013, 1014, 3000, 4000, 4999])
def test_close_codes_that_may_travel(code: int) -> None:
    """1014, bad gateway, is in IANA's registry; wsproto does not know it, `websockets` does."""
    payload = close_payload(code, "because")
    assert from_server(Encoder(masked=False).encode(CLOSE, payload)) == [Close(code, "because")]


def test_a_long_reason_is_cut_between_characters() -> None:
    payload = close_payload(1000, "あ" * 50)
    assert payload[2:].decode() == "あ" * 41


def test_lengths_take_their_shortest_form() -> None:
    encoder = Encoder(masked=False)
    assert encoder.encode(TEXT, b"")[:2] == b"\x81\x00"
    assert encoder.encode(PING, b"x" * 125)[:2] == b"\x89\x7d"
    assert encoder.encode(BINARY, b"x" * 126)[:4] == b"\x82\x7e\x00\x7e"
    assert encoder.encode(TEXT, b"x" * 65535)[:4] == b"\x81\x7e\xff\xff"
    assert encoder.encode(TEXT, b"x" * 65536)[:10] == b"\x81\x7f\x00\x00\x00\x00\x00\x01\x00\x00"
    assert encoder.encode(PONG, b"x")[:2] == b"\x8a\x01"


def test_every_frame_has_a_key_of_its_own_from_the_system(monkeypatch: pytest.MonkeyPatch) -> None:
    """Section 5.3: unpredictable, and new for each frame; one call to the system yields 256."""
    numbers = count()
    draws: list[int] = []

    def urandom(size: int) -> bytes:
        draws.append(size)
        return b"".join(next(numbers).to_bytes(4, "big") for _ in range(size // 4))

    monkeypatch.setattr("os.urandom", urandom)
    encoder = Encoder(masked=True)
    keys = {encoder.encode(TEXT, b"x" * 270)[4:8] for _ in range(600)}
    assert keys <= {number.to_bytes(4, "big") for number in range(3 * Encoder.KEYS)}
    assert len(keys) == 600
    assert draws == [1024, 1024, 1024]


def test_threads_that_share_an_encoder_never_share_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = count()
    monkeypatch.setattr(
        "os.urandom", lambda size: b"".join(next(numbers).to_bytes(4, "big") for _ in range(size // 4))
    )
    encoder = Encoder(masked=True)
    with ThreadPoolExecutor(4) as pool:
        drawn = pool.map(lambda _: [encoder.encode(TEXT, b"")[2:6] for _ in range(5000)], range(4))
        keys = [key for some in drawn for key in some]
    assert len(set(keys)) == len(keys) == 20_000
