"""Webhooks on their way: what is sent, to whom, and what becomes of an answer."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from threading import Event, Thread, Timer
from typing import Any

import pytest
import trustme

from callapp.call_log import Store
from callapp.call_log.jobs import Job, JobQueue, put_job
from callapp.errors import ConfigError
from callapp.jobs.runner import GiveUp, TryLater
from callapp.settings import Settings
from callapp.webhooks import delivery
from callapp.webhooks.delivery import KINDS, Webhooks, webhook_key
from callapp.webhooks.signing import read_secret
from tests.databases import jobs_waiting
from tests.webhooks.receiver import SECRET, Receiver

CALL = {"callSid": "CA1", "agent": "operator", "from": "+81…"}


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.close()


Make = Callable[..., Webhooks]


@pytest.fixture
def make(store: Store) -> Iterator[Make]:
    with ExitStack() as stack:

        def webhooks(url: str, describe: Any = lambda kind, call_sid: CALL) -> Webhooks:
            made = Webhooks(url, read_secret(SECRET), JobQueue(store), describe, lambda kind, outcome: None)
            stack.callback(made.close, 20.0)
            return made

        yield webhooks


def put(store: Store, kind: str = "call.ended") -> Job:
    with store.transaction() as session:
        put_job(session, kind, "CA1")
    return claim(store)


def claim(store: Store) -> Job:
    job = JobQueue(store).claim(KINDS, 0)
    assert job is not None
    return job


def test_a_call_is_told_of_signed_with_its_type_and_time(
    store: Store, make: Make, receiver: Receiver
) -> None:
    make(receiver.url).deliver(put(store))
    received = receiver.get()
    assert received.path == "/hook?from=callapp"
    assert received.id.startswith("msg_")
    assert received.message["type"] == "call.ended"
    assert received.message["data"] == CALL
    assert received.message["timestamp"].endswith("Z")


def test_a_process_sends_what_there_is_once(store: Store, make: Make, receiver: Receiver) -> None:
    webhooks = make(receiver.url)
    with store.transaction() as session:
        put_job(session, "call.started", "CA1")
        put_job(session, "call.ended", "CA1")
    webhooks.runner.start()
    assert [receiver.get().message["type"] for _ in range(2)] == ["call.started", "call.ended"]
    webhooks.close(20.0)
    assert receiver.received.empty()
    assert jobs_waiting(store, KINDS) == 0


def test_every_attempt_sends_the_same_under_the_same_id(store: Store, make: Make, receiver: Receiver) -> None:
    """A receiver that saw the first one, and whose answer was lost, can tell the second by its ID."""
    told = iter([CALL, {"callSid": "CA1", "agent": "another"}])
    webhooks = make(receiver.url, lambda kind, call_sid: next(told))
    receiver.answers.append((500, {}))
    with pytest.raises(TryLater, match="500"):
        webhooks.deliver(put(store))
    webhooks.deliver(claim(store))
    first, second = receiver.get(), receiver.get()
    assert (first.id, first.body) == (second.id, second.body)


def test_a_redirect_is_not_followed(store: Store, make: Make, receiver: Receiver) -> None:
    """What is told of a call is for the address that the operator wrote down, and for no other."""
    receiver.answers.append((307, {"location": receiver.url.replace("/hook", "/elsewhere")}))
    with pytest.raises(TryLater, match="307"):
        make(receiver.url).deliver(put(store))
    assert receiver.get().path.startswith("/hook")
    assert receiver.received.empty()


def test_a_receiver_may_say_when_it_is_ready_again(store: Store, make: Make, receiver: Receiver) -> None:
    receiver.answers += [
        (429, {"retry-after": "17"}),
        (503, {"retry-after": "999999"}),
        (503, {"retry-after": "soon"}),
        (503, {"retry-after": "0"}),
    ]
    webhooks, pauses = make(receiver.url), []
    job = put(store)
    for _ in range(4):
        with pytest.raises(TryLater) as error:
            webhooks.deliver(job)
        pauses.append(error.value.after_s)
    assert pauses == [17.0, 3600.0, None, None]


def test_one_that_is_gone_is_not_asked_again(store: Store, make: Make, receiver: Receiver) -> None:
    receiver.answers.append((410, {}))
    with pytest.raises(GiveUp):
        make(receiver.url).deliver(put(store))


def test_a_call_that_was_deleted_meanwhile_is_not_told_of(
    store: Store, make: Make, receiver: Receiver
) -> None:
    with pytest.raises(GiveUp, match="no longer in the log"):
        make(receiver.url, lambda kind, call_sid: None).deliver(put(store))
    assert receiver.received.empty()


def test_nobody_listening_is_no_reason_to_give_up(store: Store, make: Make) -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    with pytest.raises(TryLater, match="ConnectionError"):
        make(f"http://127.0.0.1:{port}/hook").deliver(put(store))


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "by TLS"])
def test_an_answer_whose_head_has_no_end_is_tried_again(
    tls: bool, store: Store, make: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A byte now and then, and the thread that sends webhooks would wait for ever."""
    monkeypatch.setattr(delivery, "ANSWER_S", 0.5)
    authority, over = trustme.CA(), Event()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "ca.pem"))
    monkeypatch.setattr("callapp.jobs.http.by_proxy", lambda url: True)  # else that is not asked for
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)

    def answer(listening: socket.socket) -> None:
        plain = listening.accept()[0]
        with suppress(OSError), context.wrap_socket(plain, server_side=True) if tls else plain as asker:
            asker.recv(65536)
            asker.sendall(b"HTTP/1.1 200 OK\r\n")
            while not over.wait(0.05):
                asker.sendall(b"x-more: 1\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = Thread(target=answer, args=(listening,))
        thread.start()
        webhooks = make(f"{'https' if tls else 'http'}://127.0.0.1:{listening.getsockname()[1]}")
        try:
            with pytest.raises(TryLater, match="WEBHOOK_URL could not be reached: ReadTimeout"):
                webhooks.deliver(put(store))
        finally:
            over.set()
            thread.join()


def test_where_no_thread_is_left_for_a_deadline_one_is_sent_without(
    store: Store, make: Make, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was told as a bug, and sent again: the receiver had it already."""
    webhooks, job = make(receiver.url), put(store)

    def start(_timer: Timer) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(Timer, "start", start)
    webhooks.deliver(job)
    receiver.get()


def test_a_socks_proxy_of_the_environment_is_asked(
    store: Store, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of any other, where the package for it is installed, PySocks."""
    heard: list[bytes] = []

    def pass_on(listening: socket.socket) -> None:
        with listening.accept()[0] as asker:  # https://www.rfc-editor.org/rfc/rfc1928
            for answer in b"\5\0", b"\5\0\0\1" + bytes(6), b"HTTP/1.1 204 No Content\r\n\r\n":
                heard.append(asker.recv(65536))
                asker.sendall(answer)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = Thread(target=pass_on, args=(listening,), daemon=True)
        thread.start()
        monkeypatch.setenv("http_proxy", f"socks5h://127.0.0.1:{listening.getsockname()[1]}")
        monkeypatch.setenv("no_proxy", "")
        make("http://receiver.invalid/hook").deliver(put(store))
        thread.join()
    assert b"receiver.invalid" in heard[1]
    assert heard[2].startswith(b"POST /hook")


def test_the_passwords_of_this_machine_are_not_sent(
    store: Store, make: Make, receiver: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The receiver fails on an ``Authorization``, which the HTTP library would take from ~/.netrc."""
    (tmp_path / "netrc").write_text("machine localhost login me password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    webhooks = make(receiver.url.replace("127.0.0.1", "localhost"))
    webhooks._session.trust_env = True
    webhooks.deliver(put(store))
    receiver.get()


def test_a_url_without_a_secret_refuses_the_start() -> None:
    with pytest.raises(ConfigError, match="WEBHOOK_SECRET: not set"):
        webhook_key(Settings(webhook_url="https://example.com/hook"))
    assert webhook_key(Settings(webhook_secret=SECRET)) == read_secret(SECRET)
