"""The pretend model as a server: who is let in, what goes wrong on demand, and that nothing is left."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from websockets.exceptions import InvalidStatus, WebSocketException

from callapp.simulators.model import PretendModel
from callapp.simulators.model_faults import (
    BETA_SHAPE,
    INVALID_KEY,
    INVALID_MODEL,
    MISSING_MODEL,
    MODEL_NOT_FOUND,
    NO_CREDIT,
    Close,
    Expire,
    Refusal,
    Reset,
    Resume,
    SendError,
    SendRaw,
    Stall,
)
from callapp.simulators.model_script import INSTANT, Call, Pace, Say, Script
from callapp.simulators.ulaw import tone
from tests.simulators.realtime_client import MODEL, PCMU, Client, check_event


@pytest.fixture
def model() -> Iterator[PretendModel]:
    with PretendModel(Script(otherwise=Say("Hello there, my friend.")), pace=INSTANT) as model:
        yield model


def refused(client: Client) -> tuple[str, str, tuple[int, str]]:
    """The error a refused client is told, and the close that follows it."""
    error = client.error()
    return error["type"], error["code"], client.closed()


# Who is let in


def test_the_first_event_is_session_created_with_its_end(model: PretendModel) -> None:
    with Client(model.url + MODEL) as client:
        session = client.receive()["session"]
        assert client.types() == ["session.created"]
        assert session["object"] == "realtime.session"
        assert session["model"] == "gpt-realtime-2.1-mini"
        assert session["expires_at"] == pytest.approx(time.time() + 3600, abs=5)
        assert session["audio"]["input"]["turn_detection"]["silence_duration_ms"] == 200


@pytest.mark.parametrize(
    ("query", "key", "headers", "refusal"),
    [
        (MODEL, None, {}, INVALID_KEY),
        (MODEL, "sk-wrong", {}, INVALID_KEY),
        ("", "sk-right", {}, MISSING_MODEL),
        ("?model=", "sk-right", {}, MISSING_MODEL),
        ("?model=gpt-4o-realtime-preview", "sk-right", {}, MODEL_NOT_FOUND),
        ("?intent=transcription&model=gpt-transcribe", "sk-right", {}, INVALID_MODEL),
        (MODEL, "sk-right", {"OpenAI-Beta": "realtime=v1"}, BETA_SHAPE),
    ],
)
def test_a_wrong_connection_is_upgraded_told_and_closed(
    query: str, key: str | None, headers: dict[str, str], refusal: Refusal
) -> None:
    """The real service answers 101 even to a wrong key; the close reason is type and code."""
    with (
        PretendModel(api_key="sk-right") as model,
        Client(model.url + query, key=key, headers=headers) as client,
    ):
        reason = f"{refusal.type}.{refusal.code}"
        assert refused(client) == (refusal.type, refusal.code, (refusal.close_code, reason))
        model.wait_for(lambda: model.refused)
        assert model.refused == [refusal]
        assert model.sessions == []
        assert model.attempts == 1


def test_the_codes_of_refusals_are_those_of_the_reference() -> None:
    assert (INVALID_KEY.close_code, INVALID_KEY.reason) == (3000, "invalid_request_error.invalid_api_key")
    assert (MISSING_MODEL.close_code, MISSING_MODEL.reason) == (4000, "invalid_request_error.missing_model")
    assert (MODEL_NOT_FOUND.close_code, MODEL_NOT_FOUND.code) == (4004, "model_not_found")
    assert (BETA_SHAPE.close_code, BETA_SHAPE.code) == (4000, "beta_api_shape_disabled")
    assert (NO_CREDIT.close_code, NO_CREDIT.reason) == (1013, "insufficient_quota.credit_balance_exhausted")


def test_no_credit_is_1013() -> None:
    with PretendModel(credit=False) as model, Client(model.url + MODEL) as client:
        assert refused(client)[2] == (1013, "insufficient_quota.credit_balance_exhausted")


def test_the_next_connection_is_refused_and_the_one_after_is_not(model: PretendModel) -> None:
    model.refuse_next(503)
    with pytest.raises(InvalidStatus):
        Client(model.url + MODEL)
    model.refuse_next(Reset())
    with pytest.raises((OSError, EOFError, WebSocketException)):
        Client(model.url + MODEL)
    model.refuse_next(NO_CREDIT)
    with Client(model.url + MODEL) as client:
        assert refused(client)[1] == "credit_balance_exhausted"
    with Client(model.url + MODEL) as client:
        assert client.receive()["type"] == "session.created"
    assert model.refused == [503, Reset(), NO_CREDIT]
    assert model.attempts == 4


def test_another_path_is_not_found(model: PretendModel) -> None:
    with pytest.raises(InvalidStatus):
        Client(model.url + "/elsewhere" + MODEL)


def test_what_is_not_http_does_no_harm(model: PretendModel) -> None:
    with socket.create_connection(("127.0.0.1", model.port)) as sock:
        sock.sendall(b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n")
        sock.settimeout(5)
        assert sock.recv(100) == b""
    with Client(model.url + MODEL) as client:
        assert client.receive()["type"] == "session.created"


def test_the_request_is_there_to_be_looked_at(model: PretendModel) -> None:
    with Client(model.url + MODEL, headers={"OpenAI-Safety-Identifier": "abc"}):
        session = model.wait_for_session()
        assert session.headers["authorization"] == "Bearer sk-test"
        assert session.headers["openai-safety-identifier"] == "abc"


# Waiting


def test_sessions_are_handed_out_in_order(model: PretendModel) -> None:
    with Client(model.url + MODEL), Client(model.url + MODEL):
        assert [model.wait_for_session() for _ in range(2)] == model.sessions
        with pytest.raises(TimeoutError):
            model.wait_for_session(timeout=0.01)


def test_expect_returns_each_event_once_and_in_order(model: PretendModel) -> None:
    with Client(model.url + MODEL) as client:
        session = model.wait_for_session()
        client.send("response.create", event_id="a")
        client.send("input_audio_buffer.clear")
        client.send("response.create", event_id="b")
        assert session.expect("response.create")["event_id"] == "a"
        assert session.expect("response.create")["event_id"] == "b"
        with pytest.raises(TimeoutError, match=r"response\.create"):
            session.expect("response.create", timeout=0.01)
        assert [one.event["type"] for one in session.received][1] == "input_audio_buffer.clear"
        times = [one.at_s for one in session.received]
        assert times == sorted(times)


def test_expect_gives_up_when_the_session_is_over(model: PretendModel) -> None:
    with Client(model.url + MODEL):
        session = model.wait_for_session()
    before_s = time.monotonic()
    with pytest.raises(TimeoutError, match="closed"):
        session.expect("response.create", timeout=30)
    assert time.monotonic() - before_s < 10
    assert session.close_code == 1000


def test_wait_for_names_what_came_instead(model: PretendModel) -> None:
    with Client(model.url + MODEL) as client:
        client.send("input_audio_buffer.clear")
        session = model.wait_for_session()
        session.expect("input_audio_buffer.clear")
        with pytest.raises(TimeoutError, match=r"input_audio_buffer\.clear"):
            session.wait_for(lambda: session.items, timeout=0.01)


# Faults


def test_a_close_on_demand_has_its_code_and_reason(model: PretendModel) -> None:
    with Client(model.url + MODEL) as client:
        model.wait_for_session().strike(Close(1011, "internal"))
        assert client.closed() == (1011, "internal")


def test_a_close_without_a_code(model: PretendModel) -> None:
    with Client(model.url + MODEL) as client:
        model.wait_for_session().strike(Close(1005))
        assert client.closed()[0] == 1005


def test_a_reset_has_no_close_frame(model: PretendModel) -> None:
    with Client(model.url + MODEL) as client:
        session = model.wait_for_session()
        session.strike(Reset())
        assert client.closed()[0] == 1006
        session.wait_closed()


def test_a_stalled_session_answers_when_it_resumes(model: PretendModel) -> None:
    with Client(model.url + MODEL) as client:
        client.next("session.created")
        session = model.wait_for_session()
        session.strike(Stall())
        client.send("input_audio_buffer.clear")
        client.send("response.create")
        with pytest.raises(TimeoutError):
            client.receive(timeout=0.1)
        assert session.received == []
        session.strike(Resume())
        client.next("input_audio_buffer.cleared")
        client.next("response.done")


def test_a_client_that_leaves_a_stalled_session_ends_it(model: PretendModel) -> None:
    with Client(model.url + MODEL) as client:
        session = model.wait_for_session()
        session.strike(Stall())
        client.socket.socket.shutdown(socket.SHUT_RDWR)
        session.wait_closed()


def test_an_expired_session_says_so_and_closes(model: PretendModel) -> None:
    with Client(model.url + MODEL) as client:
        client.next("session.created")
        model.wait_for_session().strike(Expire())
        error = client.error()
        assert error["code"] == "session_expired"
        code, reason = client.closed()
        assert code == 1001
        assert "60 minutes" in reason


def test_a_session_expires_by_itself() -> None:
    with PretendModel(lives_s=0.05) as model, Client(model.url + MODEL) as client:
        client.next("session.created")
        assert client.error()["code"] == "session_expired"
        assert client.closed()[0] == 1001


def test_an_error_on_demand_is_no_violation(model: PretendModel) -> None:
    with Client(model.url + MODEL) as client:
        client.next("session.created")
        session = model.wait_for_session()
        session.strike(SendError("server_error", "Oops", event_id="mine"))
        assert client.error() == {
            "type": "server_error",
            "code": "server_error",
            "message": "Oops",
            "param": None,
            "event_id": "mine",
        }
        assert session.violations == []


def test_malformed_json_and_binary_frames_go_out_as_they_are(model: PretendModel) -> None:
    with Client(model.url + MODEL) as client:
        client.next("session.created")
        session = model.wait_for_session()
        session.strike(SendRaw('{"type": "response.'))
        session.strike(SendRaw(b"\x00\x01"))
        assert client.socket.recv(5) == '{"type": "response.'
        assert client.socket.recv(5) == b"\x00\x01"


def test_a_fault_can_wait_for_an_event_and_strikes_once(model: PretendModel) -> None:
    model.fail_on("session.update", Close(1012, "restart"))
    with Client(model.url + MODEL) as client:
        client.next("session.created")
        client.send("session.update", session={"type": "realtime", **PCMU})
        assert client.closed() == (1012, "restart")
    with Client(model.url + MODEL) as client:
        client.next("session.created")
        client.update(**PCMU)


def test_a_fault_in_a_script_strikes_between_outputs() -> None:
    script = Script([Say("First."), Reset(), Say("Never.")])
    with PretendModel(script, pace=INSTANT) as model, Client(model.url + MODEL) as client:
        client.send("response.create")
        assert client.closed()[0] == 1006
        session = model.wait_for_session()
        session.wait_closed()
        # What was unsent is gone with the reset; nothing after it was ever made.
        assert len(session.items) == 1


def test_a_stall_in_a_script_holds_the_rest_back() -> None:
    script = Script([Say("First."), Stall(), Say("Second.")])
    with PretendModel(script, pace=INSTANT) as model, Client(model.url + MODEL) as client:
        client.send("response.create")
        client.next("response.output_item.done")
        with pytest.raises(TimeoutError):
            client.receive(timeout=0.1)
        model.wait_for_session().strike(Resume())
        assert len(client.next("response.done")["response"]["output"]) == 2


# Keepalive


def test_it_pings_and_is_content_with_a_pong() -> None:
    with PretendModel(ping_every_s=0.02) as model, Client(model.url + MODEL):
        session = model.wait_for_session()
        session.wait_for(lambda: session.pongs >= 3)
        assert session.violations == []


def test_a_client_that_does_not_answer_a_ping_is_closed() -> None:
    request = (
        b"GET /v1/realtime?model=gpt-realtime-2.1 HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n"
        b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nAuthorization: Bearer x\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    with (
        PretendModel(ping_every_s=0.05) as model,
        socket.create_connection(("127.0.0.1", model.port)) as sock,
    ):
        sock.sendall(request)
        session = model.wait_for_session()
        session.wait_closed()
        assert [one.code for one in session.violations] == ["no_pong"]


# What is left


DESCRIPTORS = Path("/proc/self/fd")


def file_descriptors() -> int:
    return len(list(DESCRIPTORS.iterdir()))


@pytest.mark.skipif(not DESCRIPTORS.is_dir(), reason="needs /proc")
def test_nothing_is_left_of_it() -> None:
    """Sessions closed by the client, in mid-response, reset, stalled and refused; and one mid-upgrade."""
    PretendModel().close()
    threads, descriptors = threading.active_count(), file_descriptors()
    model = PretendModel(Script(otherwise=Say("A rather long answer.", duration_ms=60_000)))
    clients = [Client(model.url + MODEL) for _ in range(5)]
    sessions = [model.wait_for_session() for _ in clients]
    for client, session in zip(clients, sessions, strict=True):
        client.send("response.create")
        session.expect("response.create")
    clients[0].socket.close()
    sessions[1].strike(Reset())
    sessions[2].strike(Stall())
    model.refuse_next(NO_CREDIT)
    clients.append(Client(model.url + MODEL))
    half_open = socket.create_connection(("127.0.0.1", model.port))
    model.wait_for(lambda: model.attempts == 7)
    before_s = time.monotonic()
    model.close()
    assert time.monotonic() - before_s < 4
    assert clients[3].closed()[0] == 1001
    for client in clients:
        client.socket.close()
    half_open.close()
    assert threading.active_count() == threads
    assert file_descriptors() == descriptors
    assert all(session.closed for session in sessions)


def test_closing_twice_does_no_harm() -> None:
    model = PretendModel()
    model.close()
    model.close()


def test_the_last_bytes_before_a_clients_close_are_heard(model: PretendModel) -> None:
    audio = tone(440, 2000)
    with Client(model.url + MODEL) as client:
        client.update(**PCMU)
        client.speak(audio)
    session = model.wait_for_session()
    session.wait_closed()
    assert session.heard_audio == audio


def test_many_sessions_at_once_hear_and_answer() -> None:
    """Twenty clients, one process: each is heard to the last byte and gets its own answers."""
    audio = tone(440, 1500) + bytes([0xFF]) * 8 * 1000
    script = Script(otherwise=[Say("Fine."), Call("noted")])
    with PretendModel(script) as model:

        def call(_: int) -> None:
            with Client(model.url + MODEL) as client:
                client.update(**PCMU)
                client.speak(audio)
                client.next("response.done", timeout=20)

        with ThreadPoolExecutor(20) as callers:
            list(callers.map(call, range(20)))
        for session in model.sessions:
            session.wait_closed()
            assert session.heard_audio == audio
            assert session.violations == []
            assert [item.type for item in session.items] == ["message", "message", "function_call"]


def test_without_audio_kept_the_rest_is_still_recorded() -> None:
    with (
        PretendModel(Script(otherwise=Say("Yes.")), pace=Pace(delta_ms=20), keep_audio=False) as model,
        Client(model.url + MODEL) as client,
    ):
        client.update(**PCMU)
        client.append(tone(440, 100))
        client.send("response.create")
        client.next("response.done")
        session = model.wait_for_session()
        assert session.heard_audio == b""
        assert session.received_events("input_audio_buffer.append") == []
        assert session.sent_events("response.output_audio.delta") == []
        assert len(session.sent_events("response.done")) == 1


def test_everything_recorded_as_sent_was_received(model: PretendModel) -> None:
    with Client(model.url + MODEL) as client:
        client.update(**PCMU)
        client.send("response.create")
        client.next("rate_limits.updated")
        session = model.wait_for_session()
        assert [one.event for one in session.sent] == client.events
        for one in session.sent:
            check_event(json.loads(json.dumps(one.event)))
