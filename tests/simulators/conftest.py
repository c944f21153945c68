from __future__ import annotations

from collections.abc import Iterator

import pytest

from callapp.simulators.phone import Carrier
from tests.simulators.phone_app import App


@pytest.fixture
def carrier() -> Iterator[Carrier]:
    with Carrier(say_ms_per_char=0) as carrier:
        yield carrier


@pytest.fixture
def app(carrier: Carrier) -> Iterator[App]:
    with App(carrier) as app:
        yield app
