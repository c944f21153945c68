"""Who may come in by ``/ws``, and what those who are in cannot break."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from callapp.simulators.model_script import Say, Script
from callapp.simulators.phone import Callee, HearPause, WaitForEnd
from tests.stage import DEADLINE_S, Scene, Server, words

CALL_SID = "CA" + "7" * 32
STREAM_SID = "MZ" + "7" * 32
CONNECTED = {"event": "connected", "protocol": "Call", "version": "1.0.0"}
STOP = {"event": "stop", "sequenceNumber": "9", "streamSid": STREAM_SID, "stop": {"callSid": CALL_SID}}


def start(token: str, call_sid: str = CALL_SID, stream_sid: str = STREAM_SID) -> dict[str, Any]:
    """The message that begins a stream."""
    return {
        "event": "start",
        "sequenceNumber": "1",
        "streamSid": stream_sid,
        "start": {
            "accountSid": "AC1",
            "streamSid": stream_sid,
            "callSid": call_sid,
            "tracks": ["inbound"],
            "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
            "customParameters": {"callapp_token": token, "agent": "quiet"},
        },
    }


def media(audio: bytes, number: int) -> str:
    """A chunk of the caller's voice."""
    payload = base64.b64encode(audio).decode()
    body = {"track": "inbound", "chunk": str(number), "timestamp": str(20 * number), "payload": payload}
    message = {"event": "media", "sequenceNumber": str(number + 1), "media": body, "streamSid": STREAM_SID}
    return json.dumps(message, separators=(",", ":"))


@contextmanager
def upgraded(
    server: Server, *messages: object, signature: str | None = "right"
) -> Iterator[ClientConnection]:
    """A stream of a Twilio's that is up to something; messages that are no text go as JSON."""
    headers = {"X-Twilio-Signature": server.signature if signature == "right" else signature or ""}
    with connect(
        server.ws_url,
        additional_headers={name: value for name, value in headers.items() if value},
        compression=None,
        max_size=None,
    ) as stream:
        with suppress(ConnectionClosed):  # after the first ones it may have had enough
            for message in messages:
                stream.send(message if isinstance(message, (str, bytes)) else json.dumps(message))
        yield stream


def close_of(stream: ClientConnection, within_s: float = DEADLINE_S) -> int:
    """Wait until the server closes; return its code."""
    deadline = time.monotonic() + within_s
    while True:
        try:
            stream.recv(timeout=max(0.0, deadline - time.monotonic()))
        except ConnectionClosed as closed:
            return closed.rcvd.code if closed.rcvd else 1006


def opened_nothing(scene: Scene) -> bool:
    return scene.model.attempts == 0


@pytest.mark.parametrize("signature", [None, "bm90IHR3aWxpbydzIHNpZ25hdHVyZQ==", "?"])
def test_an_upgrade_that_is_not_twilios_is_answered_403(one_line: Server, signature: str | None) -> None:
    """Before the upgrade: afterwards there is no status to tell it by."""
    with one_line.scene() as scene:
        with (
            pytest.raises(InvalidStatus) as refused,
            upgraded(one_line, CONNECTED, start("x"), signature=signature),
        ):
            pass
        assert refused.value.response.status_code == 403
        assert opened_nothing(scene)


def test_without_a_token_that_we_issued_nothing_is_opened(one_line: Server) -> None:
    """Anybody who has our Twilio account's signature once could replay it: it covers the URL alone."""
    with one_line.scene() as scene:
        for token in ("", "made-up", "x" * 400):
            with upgraded(one_line, CONNECTED, start(token)) as stream:
                assert close_of(stream) == 1008
        assert opened_nothing(scene)


def test_a_token_of_another_call_is_worth_nothing(one_line: Server) -> None:
    with one_line.scene() as scene:
        other_sid = "CA" + "8" * 32
        token = one_line.token(other_sid)
        with upgraded(one_line, CONNECTED, start(token)) as stream:
            assert close_of(stream) == 1008
        assert opened_nothing(scene)
        assert one_line.webhook("/call-status", CallSid=other_sid, CallStatus="completed").status == 204


def test_a_token_is_good_for_one_stream(one_line: Server) -> None:
    with one_line.scene() as scene:
        token = one_line.token(CALL_SID)
        with upgraded(one_line, CONNECTED, start(token)) as stream:
            scene.session()
            stream.send(json.dumps(STOP))
            assert close_of(stream) == 1000
        with upgraded(one_line, CONNECTED, start(token)) as stream:
            assert close_of(stream) == 1008
        assert scene.model.attempts == 1


def test_a_second_stream_for_a_live_call_is_refused_and_the_first_goes_on(one_line: Server) -> None:
    with one_line.scene(Script(Say(words("Yes?", 300)))) as scene:
        call, session = scene.live(Callee([HearPause(100), WaitForEnd()]))
        token = one_line.token(call.sid)
        with upgraded(one_line, CONNECTED, start(token, call_sid=call.sid)) as stream:
            assert close_of(stream) == 1008
        call.speak(words("Still there?", 300))
        call.wait_for(lambda: call.stream.heard_ms() >= 300, DEADLINE_S)
        scene.hang_up(call)
        assert scene.model.sessions == [session]


@pytest.mark.parametrize(
    "first",
    [
        media(b"\xff" * 160, 1),
        json.dumps(STOP),
        '{"event": "mark"}',
        "hello",
        "[]",
        "",
        b"\x00\x01",
        '{"event": 1}',
    ],
    ids=["media", "stop", "mark", "no JSON", "no object", "empty", "binary", "a number"],
)
def test_who_begins_with_anything_else_is_shown_the_door(one_line: Server, first: str | bytes) -> None:
    with one_line.scene() as scene, upgraded(one_line, first) as stream:
        assert close_of(stream) == 1008
        assert opened_nothing(scene)


@pytest.mark.parametrize("when", ["before the start", "in mid-call"])
def test_a_message_over_64_kib_ends_the_stream(one_line: Server, when: str) -> None:
    with one_line.scene() as scene:
        messages = [CONNECTED] if when == "before the start" else [CONNECTED, start(one_line.token(CALL_SID))]
        with upgraded(one_line, *messages) as stream:
            if when == "in mid-call":
                scene.session()
            stream.send("x" * 65_537)
            assert close_of(stream) == 1009
        assert opened_nothing(scene) == (when == "before the start")


def test_in_mid_call_odd_messages_are_ignored_and_told_once_each(one_line: Server) -> None:
    """What Twilio adds to its protocol tomorrow must not end the calls of today."""
    oddities = [
        start("another", stream_sid="MZ" + "0" * 32),
        b"\x00\xff",
        '{"event": "media", "media": {"payload": ',
        '{"event": "media", "media": {"payload": "a"}}',
        '{"event": "news", "streamSid": "MZ"}',
        "null",
        "",
        CONNECTED,
        '{"event": "mark", "streamSid": "MZ", "mark": {"name": "never sent"}}',
        '{"event": "dtmf", "streamSid": "MZ", "dtmf": {"track": "inbound_track", "digit": "5"}}',
        "x" * 65_536,
    ]
    voice = [bytes([number]) * 160 for number in range(1, 100)]
    with one_line.scene() as scene:
        with upgraded(one_line, CONNECTED, start(one_line.token(CALL_SID))) as stream:
            session = scene.session()
            for number, chunk in enumerate(voice):
                for oddity in oddities if number % 10 == 5 else []:
                    stream.send(oddity if isinstance(oddity, (str, bytes)) else json.dumps(oddity))
                stream.send(media(chunk, number))
            session.wait_for(lambda: len(session.heard_audio) >= 160 * len(voice), DEADLINE_S)
            stream.send(json.dumps(STOP))
            assert close_of(stream) == 1000
        assert session.heard_audio == b"".join(voice)
        one_line.wait_for_line(CALL_SID, "x call ended: caller.hung_up", since=scene.since)
        told = [line.partition("ignored ")[2] for line in scene.warnings()]
        assert len(told) == len(set(told))
        assert len([one for one in told if "second start" in one]) == 1
        assert len([one for one in told if "binary" in one]) == 1
        assert 3 <= len(told) <= len(oddities)


@pytest.mark.parametrize("audio_bytes", [1, 2, 159, 160, 161, 320, 4000])
def test_chunks_of_any_length_arrive_byte_for_byte(one_line: Server, audio_bytes: int) -> None:
    """Twilio's are 160 bytes, but nothing promises it; chunks that wait are joined on the way."""
    voice = [bytes([number]) * audio_bytes for number in range(1, 31)]
    with one_line.scene() as scene:
        with upgraded(one_line, CONNECTED, start(one_line.token(CALL_SID))) as stream:
            session = scene.session()
            stream.send(media(voice[0], 0))
            session.wait_for(lambda: session.heard_audio, DEADLINE_S)
            for number, chunk in enumerate(voice[1:], 1):
                stream.send(media(chunk, number))
            stream.send(json.dumps(STOP))
            assert close_of(stream) == 1000
        session.wait_closed()
        assert session.heard_audio == b"".join(voice)
        assert session.close_code == 1000


def test_a_webhook_that_is_not_twilios_is_answered_403(one_line: Server) -> None:
    """The same holds of every route; see test_routes.py. Here through gunicorn, where headers are real."""
    with one_line.scene():
        for path in ("/incoming-call", "/call-status", "/incoming-call?agent=quiet"):
            answer = one_line.request("POST", path, **{"X-Twilio-Signature": "bm8="})
            assert answer.status == 403


def test_an_upgrade_that_is_no_handshake_is_told_so(one_line: Server) -> None:
    """A proxy on the way may have made it so: that is a line in the log, and no traceback."""
    since = len(one_line.lines)
    answer = one_line.request(
        "GET",
        "/ws",
        **{
            "Connection": "Upgrade",
            "Upgrade": "websocket",
            "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
            "Sec-WebSocket-Version": "12",
            "X-Twilio-Signature": one_line.signature,
        },
    )
    assert answer.status == 400
    assert answer.headers["Sec-WebSocket-Version"] == "13"
    assert "Sec-WebSocket-Version" in answer.json["detail"]
    one_line.wait_for_line("! stream refused: no handshake", since=since)
    assert not any("Traceback" in line for line in one_line.lines[since:])


def test_compression_that_is_offered_is_not_taken(one_line: Server) -> None:
    """Audio in base64 does not compress, and every compressed stream costs memory."""
    with one_line.scene():
        headers = {"X-Twilio-Signature": one_line.signature}
        with connect(one_line.ws_url, additional_headers=headers, compression="deflate") as stream:
            assert "Sec-WebSocket-Extensions" not in stream.response.headers
            stream.send("no connected, no start")
            assert close_of(stream) == 1008
