"""The examination: which checks there are, and their order."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

from callapp.agents import Agents
from callapp.call_log import schema
from callapp.doctor import house, openai, twilio, way_in
from callapp.doctor.finding import Finding, Level
from callapp.settings import Settings
from callapp.telephony.rest import Carrier

WantsIt = Callable[[Finding], bool]


def examine(
    settings: Settings, agents: Agents | None, instance: Path, wants_webhook_set: WantsIt
) -> Iterator[Finding]:
    """Yield what there is to say, as it is found: some of it takes seconds.

    Args:
        agents: those that there are; ``None`` if they could not be loaded.
        instance: the folder of the database where none is set.
        wants_webhook_set: whether a fault with the number's webhook is to be set right.
    """
    yield house.check_database(settings.database_url or schema.default_url(instance))
    yield from house.check_redis(settings)
    yield house.check_threads(settings, os.environ)
    yield house.check_files(settings)
    yield house.check_api_key(settings)
    yield from house.check_signatures_wanted(settings)
    yield from house.check_features(settings, os.environ)
    yield from house.check_recordings(settings)
    yield from house.check_prices(settings, agents)
    yield from _examine_openai(settings, agents)
    yield from _examine_way_in(settings)
    with closing(Carrier(settings)) as carrier:
        yield from _examine_twilio(settings, carrier, agents, wants_webhook_set)


def _examine_openai(settings: Settings, agents: Agents | None) -> Iterator[Finding]:
    if settings.openai_api_key is None:
        yield openai.NO_KEY
        return
    key = settings.openai_api_key.get_secret_value()
    for model, named_by in house.models_in_use(settings, agents).items():
        yield from openai.check_model(settings, key, model, named_by)
    for model, named_by in house.translators_in_use(agents).items():
        yield from openai.check_model(settings, key, model, named_by, openai.TRANSLATIONS)


def _examine_way_in(settings: Settings) -> Iterator[Finding]:
    finding, worth_knocking = way_in.check_address(settings)
    yield finding
    if not worth_knocking or settings.public_url is None:
        return
    finding = way_in.check_reachable(settings.public_url)
    yield finding
    # Without the token there is no signature; that it is missing is told with the account.
    if finding.level is Level.OK and settings.twilio_auth_token is not None:
        token = settings.twilio_auth_token.get_secret_value()
        yield way_in.check_signature(settings.public_url, token)
        yield way_in.check_media_socket(settings.public_url, token)


def _examine_twilio(
    settings: Settings, carrier: Carrier, agents: Agents | None, wants_webhook_set: WantsIt
) -> Iterator[Finding]:
    finding, answers = twilio.check_account(carrier)
    yield finding
    if not answers and settings.from_phone_number is not None:
        return
    finding, own = twilio.find_number(settings, carrier)
    yield finding
    if own is None or finding.level is Level.FAULT:
        return
    webhook = twilio.check_webhook(settings, own, agents)
    if webhook.fixable and wants_webhook_set(webhook):
        webhook = twilio.set_webhook(settings, own, carrier)
    yield webhook
