"""The REST API as callapp asks it: judged by the ``openai`` package."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from threading import Event, Thread
from time import monotonic
from typing import Any

import pytest
from openai.types.chat.completion_create_params import CompletionCreateParamsNonStreaming
from pydantic import TypeAdapter

from callapp.analysis import text_model
from callapp.analysis.text_model import Answered, TextModel
from callapp.jobs.runner import GiveUp, TryLater
from callapp.prices import TextTokens
from callapp.simulators.text_model import Answer, Failure, PretendTextModel, Refusal

KEY = "sk-0123"
MESSAGES = [{"role": "system", "content": "Read."}, {"role": "user", "content": "{}"}]
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"
SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}}


class World:
    def __init__(self, answers: list[Answer]) -> None:
        self.pretend = PretendTextModel(answers, api_key=KEY)
        self.model = TextModel(self.pretend.url, KEY)

    def ask(self, model: str = "gpt-5.6-luna") -> Answered:
        return self.model.ask(model, MESSAGES, SCHEMA)

    def close(self) -> None:
        self.model.close()
        self.pretend.close()


@pytest.fixture
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    world = World(getattr(request, "param", ['{"a": 1}']))
    yield world
    world.close()


def test_what_is_asked_is_valid_and_the_answer_comes_back(world: World) -> None:
    assert world.ask() == Answered('{"a": 1}', TextTokens(400, 256, 100, 60))
    (request,) = world.pretend.requests
    TypeAdapter(CompletionCreateParamsNonStreaming).validate_python(request, extra="forbid")
    assert request["messages"] == MESSAGES
    assert request["response_format"]["json_schema"]["schema"] == SCHEMA
    assert request["store"] is False


@pytest.mark.parametrize("world", [[Failure(429, "insufficient_quota")], [Failure(400)]], indirect=True)
def test_what_no_other_try_would_help_is_given_up(world: World) -> None:
    with pytest.raises(GiveUp):
        world.ask()


@pytest.mark.parametrize("world", [[Refusal()]], indirect=True)
def test_a_refusal_is_an_answer_without_words_and_costs_what_was_read(world: World) -> None:
    assert world.ask() == Answered(None, TextTokens(400, 256, 100, 0))


def test_a_wrong_key_or_model_is_given_up_with_openai_s_words(world: World) -> None:
    with pytest.raises(GiveUp, match="404 model_not_found: The model `gpt-2` does not exist"):
        world.ask("gpt-2")
    stranger = TextModel(world.pretend.url, "sk-wrong")
    with pytest.raises(GiveUp, match="401 invalid_api_key") as error:
        stranger.ask("gpt-5.6-luna", MESSAGES, SCHEMA)
    assert "sk-wrong" not in str(error.value)
    stranger.close()


@pytest.mark.parametrize(
    "world", [[Failure(429, "rate_limit_exceeded", {"retry-after": "7"}), Failure(500)]], indirect=True
)
def test_what_will_pass_is_tried_again(world: World) -> None:
    with pytest.raises(TryLater) as error:
        world.ask()
    assert error.value.after_s == 7
    with pytest.raises(TryLater, match="500"):
        world.ask()


def test_a_service_that_is_away_is_tried_again(world: World) -> None:
    world.pretend.close()
    with pytest.raises(TryLater, match="could not be reached: APIConnectionError"):
        world.ask()


@pytest.mark.parametrize(
    ("begin", "piece", "every_s", "why"),
    [
        (b"", b"x-more: 1\r\n", 0.05, "APITimeoutError"),
        (CHUNKED, b"1\r\n\n\r\n", 0.05, "APITimeoutError"),
        (CHUNKED, b"10000\r\n%b\r\n" % (b" " * 65536), 0.0, "APIConnectionError"),
    ],
    ids=["has a head that drips", "drips", "is endless"],
)
def test_an_answer_that_has_no_end_is_given_up(
    begin: bytes, piece: bytes, every_s: float, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The thread that asks would wait for ever, or the process, with all of its calls, run out of memory."""
    monkeypatch.setattr(text_model, "ANSWER_S", 0.5)
    over, sent = Event(), 0
    give_up_s = monotonic() + 20

    def answer(listening: socket.socket) -> None:
        nonlocal sent
        with suppress(OSError), listening.accept()[0] as asker:
            asker.recv(65536)
            asker.sendall(b"HTTP/1.1 200 OK\r\n" + begin)
            while sent < 2**24 and monotonic() < give_up_s and not over.wait(every_s):
                asker.sendall(piece)
                sent += len(piece)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = Thread(target=answer, args=(listening,))
        thread.start()
        model = TextModel(f"http://127.0.0.1:{listening.getsockname()[1]}/v1", KEY)
        try:
            with pytest.raises(TryLater, match=f"could not be reached: {why}"):
                model.ask("gpt-5.6-luna", MESSAGES, SCHEMA)
        finally:
            model.close()
            over.set()
            thread.join()
    assert sent < 2**24
    assert monotonic() < give_up_s


def test_no_answer_is_to_come_packed() -> None:
    """1 MiB of gzip took a gigabyte of memory from a process with calls."""
    asked: list[bytes] = []

    def listen(listening: socket.socket) -> None:
        with listening.accept()[0] as asker:
            asked.append(asker.recv(65536))

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = Thread(target=listen, args=(listening,))
        thread.start()
        model = TextModel(f"http://127.0.0.1:{listening.getsockname()[1]}/v1", KEY)
        with pytest.raises(TryLater):
            model.ask("gpt-5.6-luna", MESSAGES, SCHEMA)
        model.close()
        thread.join()
    assert b"\r\naccept-encoding: identity\r\n" in asked[0].lower()


def test_the_key_goes_there_whatever_lies_around(
    world: World, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The HTTP library would replace it by what ~/.netrc has for the host."""
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setattr(text_model, "by_proxy", lambda url: True)
    assert json.loads(world.ask().text) == {"a": 1}


def test_a_process_that_asks_nothing_does_not_pay_for_the_package() -> None:
    """It takes half a second and 35 MB of each worker."""
    program = (
        "import sys; from callapp.analysis.text_model import TextModel\n"
        "TextModel('http://127.0.0.1/v1', 'sk-0123').close()\n"
        "import callapp.background, callapp.building; print('openai' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=50, check=True
    )
    assert done.stdout == "False\n"
