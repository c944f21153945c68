"""What Twilio says of the account and its numbers, asked by our own client of the pretend Twilio."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from callapp.errors import CarrierRefused
from callapp.settings import Settings
from callapp.simulators.carrier import Carrier as Twilio
from callapp.simulators.carrier_account import OwnNumber as Bought
from callapp.telephony.rest import AccountState, Carrier

NUMBER = "+14155550100"


@pytest.fixture
def twilio() -> Iterator[Twilio]:
    with Twilio(
        numbers=[Bought(NUMBER), Bought(NUMBER + "5"), Bought("+14155550102", voice=False)]
    ) as twilio:
        yield twilio


@pytest.fixture
def carrier(twilio: Twilio) -> Iterator[Carrier]:
    with closing(carrier_of(twilio)) as carrier:
        yield carrier


def carrier_of(twilio: Twilio, **changes: str) -> Carrier:
    given = {
        "twilio_account_sid": twilio.account_sid,
        "twilio_auth_token": twilio.auth_token,
        "twilio_api_url": twilio.url,
    }
    return Carrier(Settings(**given | changes))


def test_the_account(carrier: Carrier) -> None:
    assert carrier.account() == AccountState("active", trial=False)


def test_a_trial_account() -> None:
    with Twilio(account_kind="Trial") as twilio, closing(carrier_of(twilio)) as carrier:
        assert carrier.account().trial


def test_a_wrong_token(twilio: Twilio) -> None:
    with closing(carrier_of(twilio, twilio_auth_token="wrong")) as carrier:
        with pytest.raises(CarrierRefused) as refused:
            carrier.account()
        assert refused.value.code == 20003


def test_a_number_is_the_whole_number(carrier: Carrier, twilio: Twilio) -> None:
    own = carrier.own_number(NUMBER)
    assert own is not None
    assert own.sid == twilio.account.numbers[0].sid
    assert (own.voice, own.voice_url, own.handled_by) == (True, "", None)
    assert carrier.own_number("+1415555010") is None
    silent = carrier.own_number("+14155550102")
    assert silent is not None
    assert not silent.voice


def test_its_webhook_is_set(carrier: Carrier) -> None:
    own = carrier.own_number(NUMBER)
    assert own is not None
    carrier.set_webhook(own.sid, "https://voice.example.com/incoming-call")
    own = carrier.own_number(NUMBER)
    assert own is not None
    assert own.voice_url == "https://voice.example.com/incoming-call"


def test_what_takes_its_calls_instead(carrier: Carrier, twilio: Twilio) -> None:
    twilio.account.numbers[0].changes["voice_application_sid"] = "AP1"
    own = carrier.own_number(NUMBER)
    assert own is not None
    assert own.handled_by == "AP1"
