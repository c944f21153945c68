"""Without an API key, only who sits at this machine is served."""

from __future__ import annotations

import pytest

from tests.web.conftest import ORIGIN, TO, MakeWorld, World


def status(world: World, peer: str = "127.0.0.1", host: str = "localhost:3000", **headers: str) -> int:
    answer = world.client.post(
        "/outgoing-call",
        json={"phoneNumber": TO},
        headers={"Host": host, **{name.replace("_", "-"): value for name, value in headers.items()}},
        environ_base={"REMOTE_ADDR": peer},
    )
    return answer.status_code


@pytest.mark.parametrize("peer", ["127.0.0.1", "127.1.2.3", "::1", "::ffff:127.0.0.1"])
@pytest.mark.parametrize("host", ["localhost", "localhost:3000", "127.0.0.1:3000", "[::1]:3000", "LocalHost"])
def test_a_direct_request_of_this_machine_is_served(world: World, peer: str, host: str) -> None:
    assert status(world, peer, host) == 201


@pytest.mark.parametrize("peer", ["203.0.113.5", "10.0.0.1", "0.0.0.0", "", "::2"])
def test_another_machine_is_not(world: World, peer: str) -> None:
    assert status(world, peer) == 401


@pytest.mark.parametrize(
    "host",
    [
        "evil.example.com",
        "localhost.evil.com",
        "127.0.0.1.nip.io",
        "127.0.0.1@evil.com",
        "[::1",
        "",
        "0.0.0.0",
    ],
)
def test_a_name_that_only_resolves_to_this_machine_is_not(world: World, host: str) -> None:
    assert status(world, host=host) == 401


@pytest.mark.parametrize(
    "header",
    [
        "X_Forwarded_For",
        "X_Forwarded_Host",
        "X_Forwarded_Proto",
        "X_Forwarded_Anything",
        "Forwarded",
        "X_Real_IP",
        "Via",
    ],
)
@pytest.mark.parametrize("hops", [0, 1])
def test_what_came_through_a_tunnel_is_not(make_world: MakeWorld, header: str, hops: int) -> None:
    world = make_world(trusted_proxies=hops)
    assert status(world, **{header: "127.0.0.1"}) == 401
    assert status(world) == 201


def test_the_answer_says_what_to_set(world: World) -> None:
    answer = world.client.post("/outgoing-call", base_url=ORIGIN, json={})
    assert answer.status_code == 401
    assert "CALLAPP_API_KEY" in answer.get_json(force=True)["detail"]
