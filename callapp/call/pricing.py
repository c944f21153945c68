"""What a call's usage costs, for the limit that MAX_CALL_COST_USD sets."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import cache

from callapp.conversation.events import Usage
from callapp.prices import model_prices, usd_per_minute

log = logging.getLogger(__name__)


@cache
def pricing(model: str, transcription_model: str) -> Callable[[Usage], float] | None:
    """How to price the usage of a call; ``None``, which is logged once a process, if it cannot be.

    A transcription of an unknown price counts as nothing: it is the smallest part by far.
    """
    prices = model_prices(model)
    if prices is None:
        log.warning("! the prices of %s are not known: MAX_CALL_COST_USD does not hold for its calls", model)
        return None
    second_usd = (usd_per_minute(transcription_model) or 0.0) / 60
    return lambda usage: prices.usd(usage) + usage.transcribed_s * second_usd
