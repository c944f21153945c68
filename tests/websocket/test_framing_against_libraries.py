"""Same bytes in, same events out: framing against wsproto and `websockets`, cut anywhere, malformed or not.

Where they part, and why:

- a close frame in the middle of a fragmented message: allowed by RFC 6455 (5.4) and by wsproto, so by us;
  `websockets` calls it a protocol error;
- close code 1014: registered with IANA and known to `websockets`, so to us; not to wsproto;
- lengths not in their shortest form: refused by the RFC (5.2), wsproto and us; `websockets` takes them;
- text that is not UTF-8: we look at each fragment, wsproto at each piece of one that has come, `websockets`
  at whole messages. The verdict is the same, the moment is not;
- a close frame with an unknown code and a reason that is not UTF-8: 1002 here and with wsproto, 1007 with
  `websockets`;
- the limit on a message's length: wsproto has none; `websockets` counts pings between fragments as well.
"""

from __future__ import annotations

import random
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from websockets.exceptions import PayloadTooBig
from websockets.frames import Close as LibraryClose
from websockets.frames import Opcode
from websockets.protocol import CLIENT, SERVER, Protocol
from wsproto.frame_protocol import FrameProtocol, ParseFailed
from wsproto.frame_protocol import Opcode as WsprotoOpcode

from callapp.websocket.framing import (
    BINARY,
    PING,
    PONG,
    TEXT,
    Binary,
    Close,
    Decoder,
    Encoder,
    Ping,
    Pong,
    Violation,
)

NO_LIMIT = 2**63
FAR_BYTES = 2**17
FUZZ_ROUNDS = 60_000

# A kind and what came with it; ("error", code) is the verdict on malformed input.
Event = tuple[str, object]


def ours(pieces: list[bytes], *, masked: bool, limit: int = NO_LIMIT) -> list[Event]:
    decoder = Decoder(masked=masked, max_message_bytes=limit)
    events: list[Event] = []
    for piece in pieces:
        for message in decoder.receive(piece):
            match message:
                case bytes():
                    events.append(("text", message))
                case Binary(data=data):
                    events.append(("binary", data))
                case Ping(data=data):
                    events.append(("ping", data))
                case Pong(data=data):
                    events.append(("pong", data))
                case Close(code=code, reason=reason):
                    events.append(("close", (code, reason)))
                case Violation(code=code):
                    events.append(("error", code))
    return events


def wsprotos(data: bytes, *, masked: bool) -> list[Event]:
    protocol = FrameProtocol(client=not masked, extensions=[])
    protocol.receive_bytes(data)
    events: list[Event] = []
    message = b""
    try:
        for frame in protocol.received_frames():
            if frame.opcode is WsprotoOpcode.CLOSE:
                code, reason = frame.payload
                events.append(("close", (int(code), reason)))
                break  # FrameProtocol is not made to go on after it
            if frame.opcode.iscontrol():
                events.append((frame.opcode.name.lower(), bytes(frame.payload)))
                continue
            message += frame.payload.encode() if isinstance(frame.payload, str) else frame.payload
            if frame.message_finished:
                events.append(("text" if frame.opcode is WsprotoOpcode.TEXT else "binary", message))
                message = b""
    except ParseFailed as error:
        unknown = str(error) == "CLOSE with unknown reserved code"
        events.append(("unknown close code", 1002) if unknown else ("error", int(error.code)))
    return events


def librarys(data: bytes, *, masked: bool, limit: int | None = None) -> list[Event]:
    """What `websockets` makes of it, with the check of text that its connections add to its protocol."""
    protocol = Protocol(SERVER if masked else CLIENT, max_size=limit)
    protocol.receive_data(data)
    events: list[Event] = []
    message = bytearray()
    text = False
    for frame in protocol.events_received():
        if frame.opcode is Opcode.CLOSE:
            close = LibraryClose.parse(frame.data)
            events.append(("close", (int(close.code), close.reason)))
        elif frame.opcode in (Opcode.PING, Opcode.PONG):
            events.append((frame.opcode.name.lower(), bytes(frame.data)))
        else:
            if frame.opcode is not Opcode.CONT:
                text = frame.opcode is Opcode.TEXT
            message += frame.data
            if frame.fin:
                try:
                    if text:
                        message.decode()
                except UnicodeDecodeError:
                    return [*events, ("error", 1007)]
                events.append(("text" if text else "binary", bytes(message)))
                message.clear()
    error = protocol.parser_exc
    if isinstance(error, UnicodeDecodeError):
        events.append(("error", 1007))
    elif isinstance(error, PayloadTooBig):
        events.append(("error", 1009))
    elif error is not None:
        events.append(("error", 1002))
    return events


def frame(first: int, payload: bytes, key: bytes | None, length_bytes: int = 0) -> bytes:
    """Build a frame by the letter; ``length_bytes`` 2 or 8 insists on a longer form than needed."""
    size = len(payload)
    mask_bit = 0x80 if key else 0
    if size > 65535 or length_bytes == 8:
        head = bytes([first, mask_bit | 127]) + size.to_bytes(8, "big")
    elif size > 125 or length_bytes == 2:
        head = bytes([first, mask_bit | 126]) + size.to_bytes(2, "big")
    else:
        head = bytes([first, mask_bit | size])
    if key is None:
        return head + payload
    return head + key + bytes(byte ^ key[i % 4] for i, byte in enumerate(payload))


keys = st.binary(min_size=4, max_size=4)
texts = st.text(max_size=40).map(str.encode) | st.sampled_from([125, 126, 127]).map(lambda size: b"x" * size)
long_texts = st.sampled_from([65535, 65536]).map(lambda size: b"x" * size)
binaries = st.binary(max_size=200)
control_payloads = st.binary(max_size=125)
close_payloads = st.builds(
    lambda code, reason: code.to_bytes(2, "big") + reason.encode()[:123].decode(errors="ignore").encode(),
    st.sampled_from([1000, 1001, 1003, 1008, 1011, 3000, 4999]),
    st.text(max_size=60),
) | st.just(b"")

odd_close_payloads = (
    st.integers(0, 65535).map(lambda code: code.to_bytes(2, "big"))
    | st.binary(max_size=140).map(lambda reason: b"\x03\xe8" + reason)
    | st.binary(max_size=1)
)


@st.composite
def good_streams(draw: st.DrawFn, *, masked: bool, control: bool = True) -> bytes:
    """Messages of all kinds and lengths, in fragments or not, pings and pongs between, perhaps a close."""
    stream = b""

    def add(first: int, payload: bytes) -> None:
        nonlocal stream
        stream += frame(first, payload, draw(keys) if masked else None)

    def interrupt() -> None:
        for opcode in draw(st.lists(st.sampled_from([PING, PONG]), max_size=2)) if control else []:
            add(0x80 | opcode, draw(control_payloads))

    for opcode in draw(st.lists(st.sampled_from([TEXT, BINARY]), max_size=5)):
        payload = draw(st.one_of(texts, texts, texts, long_texts) if opcode == TEXT else binaries)
        cuts = sorted(draw(st.lists(st.integers(0, len(payload)), max_size=3)))
        pieces = [payload[start:end] for start, end in pairwise([0, *cuts, len(payload)])]
        for number, piece in enumerate(pieces):
            interrupt()
            last = number == len(pieces) - 1
            add((0x80 if last else 0) | (opcode if number == 0 else 0), piece)
    interrupt()
    if control and draw(st.booleans()):
        add(0x88, draw(close_payloads))
    return stream


# What may be wrong with one frame: each is drawn now and then among good ones.
odd_frames = st.builds(
    frame,
    st.integers(0, 255) | st.sampled_from([0x01, 0x00, 0x80, 0x81, 0x82, 0x88, 0x89]),
    st.binary(max_size=140)
    | texts
    | close_payloads
    | st.integers(0, 65535).map(lambda code: code.to_bytes(2, "big")),
    st.none() | keys,
    st.sampled_from([0, 0, 0, 2, 8]),
)


@pytest.mark.parametrize("masked", [True, False], ids=["from a client", "from a server"])
class TestSameEvents:
    @settings(deadline=None)
    @given(data=st.data())
    def test_as_both_libraries(self, masked: bool, data: st.DataObject) -> None:
        stream = data.draw(good_streams(masked=masked))
        events = ours([stream], masked=masked)
        assert events == wsprotos(stream, masked=masked)
        assert events == librarys(stream, masked=masked)

    @settings(deadline=None, max_examples=30)
    @given(data=st.data())
    def test_cut_at_every_byte(self, masked: bool, data: st.DataObject) -> None:
        stream = data.draw(good_streams(masked=masked).filter(lambda stream: len(stream) < 1500))
        events = ours([stream], masked=masked)
        for cut in range(len(stream) + 1):
            assert ours([stream[:cut], stream[cut:]], masked=masked) == events
        assert ours([bytes([byte]) for byte in stream], masked=masked) == events

    @settings(deadline=None)
    @given(data=st.data(), size=st.integers(1, 5000))
    def test_cut_into_pieces_of_any_size(self, masked: bool, data: st.DataObject, size: int) -> None:
        stream = data.draw(good_streams(masked=masked))
        pieces = [stream[start : start + size] for start in range(0, len(stream), size)]
        assert ours(pieces, masked=masked) == ours([stream], masked=masked)

    @settings(deadline=None, max_examples=200)
    @given(data=st.data())
    def test_malformed_as_wsproto(self, masked: bool, data: st.DataObject) -> None:
        before = data.draw(good_streams(masked=masked))
        stream = before + b"".join(data.draw(st.lists(odd_frames, min_size=1, max_size=4))) + bytes(16)
        assert_as_wsproto(stream, masked=masked)

    @settings(deadline=None, max_examples=200)
    @given(data=st.data())
    def test_malformed_as_websockets(self, masked: bool, data: st.DataObject) -> None:
        before = data.draw(good_streams(masked=masked))
        # Whole messages only, because of the differences that the module's docstring lists.
        first = data.draw(st.integers(0x80, 255))
        payload = data.draw(odd_close_payloads if first == 0x88 else st.binary(max_size=140))
        odd = frame(first, payload, data.draw(st.none() | keys))
        stream = before + odd + bytes(150)
        assert ours([stream], masked=masked) == librarys(stream, masked=masked)

    @settings(deadline=None)
    @given(data=st.data(), limit=st.integers(0, 300))
    def test_the_limit_is_that_of_websockets(self, masked: bool, data: st.DataObject, limit: int) -> None:
        stream = data.draw(good_streams(masked=masked, control=False))
        assert ours([stream], masked=masked, limit=limit) == librarys(stream, masked=masked, limit=limit)


def assert_as_wsproto(stream: bytes, *, masked: bool) -> list[Event]:
    events, theirs = ours([stream], masked=masked), wsprotos(stream, masked=masked)
    if events != theirs:
        match events, theirs:
            case [*before, (kind, what)], [*_, ("unknown close code", _)]:
                assert before == theirs[:-1]
                # 1014, perhaps with a reason that is not UTF-8; or unknown to us as well.
                assert (kind, what) in (("error", 1002), ("error", 1007)) or (
                    kind == "close" and "1014" in str(what)
                )
            case _:
                # wsproto looks into a frame before its end has come; so let it come, unless it is far away.
                late = ours([stream, bytes(FAR_BYTES)], masked=masked, limit=FAR_BYTES)
                assert late[:-1] == theirs[:-1]
                assert theirs[-1][0] == "error"
                assert late[-1] in (theirs[-1], ("error", 1009))
    return events


@settings(deadline=None)
@given(payload=texts | long_texts | binaries, opcode=st.sampled_from([TEXT, BINARY]))
@example(payload=b"", opcode=TEXT)
def test_both_libraries_read_what_we_build(payload: bytes, opcode: int) -> None:
    if opcode == TEXT:
        payload = payload.decode(errors="replace").encode()
    for masked in (True, False):
        built = Encoder(masked=masked).encode(opcode, payload)
        expected: list[Event] = [("text" if opcode == TEXT else "binary", payload)]
        assert wsprotos(built, masked=masked) == expected
        assert librarys(built, masked=masked) == expected
        assert ours([built], masked=masked) == expected


@pytest.mark.parametrize("masked", [True, False], ids=["from a client", "from a server"])
def test_fuzz(masked: bool) -> None:
    """Mutated streams, cut at random: nothing is raised, cuts change nothing, and wsproto says the same."""
    randomness = random.Random(6455)
    key = b"\x11\x22\x33\x44" if masked else None
    seeds = [
        frame(0x81, b'{"event":"media"}' * 3, key),
        frame(0x81, "もしもし".encode(), key),
        frame(0x01, "も".encode()[:2], key) + frame(0x89, b"?", key) + frame(0x80, "も".encode()[2:], key),
        frame(0x82, b"\x00\xff" * 70, key),
        frame(0x02, b"a", key) + frame(0x00, b"b", key) + frame(0x80, b"", key),
        frame(0x8A, b"", key),
        frame(0x88, b"\x03\xe8bye", key),
    ]
    verdicts: dict[object, int] = {}
    for _ in range(FUZZ_ROUNDS // 2):
        stream = bytearray(b"".join(randomness.choices(seeds, k=randomness.randint(1, 4))))
        for _ in range(randomness.randint(0, 3)):
            at = randomness.randrange(len(stream) + 1)
            match randomness.randrange(4):
                case 0:
                    stream[at : at + 1] = bytes([randomness.randrange(256)])
                case 1:
                    stream[at:at] = randomness.randbytes(randomness.randint(1, 9))
                case 2:
                    del stream[at : at + randomness.randint(1, 9)]
                case 3:
                    stream[at : at + 1] = (
                        bytes([stream[at] ^ 1 << randomness.randrange(8)]) if at < len(stream) else b""
                    )
        data = bytes(stream) + bytes(16)
        events = assert_as_wsproto(data, masked=masked)
        cut = randomness.randrange(len(data))
        assert ours([data[:cut], data[cut:]], masked=masked) == events
        last = events[-1] if events and events[-1][0] in ("error", "close") else None
        verdict = last[1] if last and last[0] == "error" else None
        verdicts[verdict] = verdicts.get(verdict, 0) + 1
    # The fuzzer is worth something only as long as it meets all of these.
    assert set(verdicts) >= {None, 1002, 1007}
