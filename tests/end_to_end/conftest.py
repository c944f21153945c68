from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from callapp.simulators.text_model import PretendTextModel
from tests.stage import OPENAI_KEY, Server
from tests.webhooks.receiver import Receiver

FITS = json.dumps({"summary": "They said goodbye.", "verdict": "resolved", "tags": []})


@contextmanager
def started(folder: Path, **environ: str) -> Iterator[Server]:
    """A server that has to end well when the test is over."""
    server = Server(folder, **environ)
    try:
        yield server
        if server.process.poll() is None:
            server.terminate()
            # Nobody is on the line: a server that lingers here would linger at every deployment. It may wait
            # for the stream of a call that has just been answered, and that another process has.
            assert server.wait(20) == 0, "\n".join(server.lines)
    finally:
        server.close()


@pytest.fixture(scope="session")
def one_line(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that takes one call at a time: a slot that is not given back is a next test that fails."""
    with started(tmp_path_factory.mktemp("one-line"), MAX_CONCURRENT_CALLS="1") as server:
        server.warm_up()
        yield server


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Start a server of the test's own."""
    with ExitStack() as stack:
        yield lambda **environ: stack.enter_context(started(tmp_path, **environ))


@pytest.fixture(scope="session")
def twenty_lines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with started(tmp_path_factory.mktemp("twenty-lines"), MAX_CONCURRENT_CALLS="20") as server:
        server.warm_up()
        yield server


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.close()


@pytest.fixture
def text_model() -> Iterator[PretendTextModel]:
    with PretendTextModel([FITS], api_key=OPENAI_KEY) as model:
        yield model
