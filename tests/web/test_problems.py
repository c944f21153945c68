"""Flask's own errors are problems too."""

from __future__ import annotations

import json

import pytest

from tests.web.conftest import World


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/nothing-here", 404), ("GET", "/outgoing-call", 405), ("DELETE", "/incoming-call", 405)],
)
def test_what_is_not_there(world: World, method: str, path: str, status: int) -> None:
    answer = world.client.open(path, method=method)
    assert answer.content_type == "application/problem+json"
    problem = json.loads(answer.text)
    assert answer.status_code == problem["status"] == status
    assert set(problem) == {"type", "title", "status", "detail"}
    if status == 405:
        assert "POST" in answer.headers["Allow"]
        assert problem["detail"].endswith("POST only.")


def test_a_bug_is_a_problem_that_tells_nothing(world: World) -> None:
    @world.app.get("/bug")
    def bug() -> str:
        raise RuntimeError("secret")

    answer = world.client.get("/bug")
    assert (answer.status_code, answer.content_type) == (500, "application/problem+json")
    assert "secret" not in answer.text


def test_a_request_that_breaks_off_is_no_bug(world: World, caplog: pytest.LogCaptureFixture) -> None:
    @world.app.post("/cut")
    def cut() -> str:
        raise ConnectionResetError(104, "Connection reset by peer")

    assert world.client.post("/cut").status_code == 400
    assert [record.levelname for record in caplog.records] == ["WARNING"]


def test_a_redirect_stays_a_redirect(world: World) -> None:
    @world.app.get("/folder/")
    def folder() -> str:
        return "inside"

    assert world.client.get("/folder").status_code == 308
