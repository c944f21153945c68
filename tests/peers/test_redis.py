"""What a Redis is said to be."""

from __future__ import annotations

import pytest

from callapp.peers.redis import Redis
from callapp.peers.wire import WireLost


@pytest.mark.parametrize("option", ["ssl_cert_reqs=none", "db=first"])
def test_an_option_of_the_url_that_does_not_fit_is_a_loss_that_is_told_and_tried_again(option: str) -> None:
    """Whatever else is raised would end the threads that speak with the other processes, for good."""
    wire = Redis(f"redis://127.0.0.1:1?{option}")
    name = option.partition("=")[0]
    with pytest.raises(WireLost, match=name):
        wire.sender()
    with pytest.raises(WireLost, match=name):
        wire.listener(["a"])
