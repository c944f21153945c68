"""Place a call through Twilio, so that its webhooks, in whichever process, find it; or call it off."""

from __future__ import annotations

import logging
from contextlib import suppress
from urllib.parse import urlencode

from callapp.call.pairing import Place
from callapp.call.registry import Registry
from callapp.call_log import PlacedCall, Store, StoreUnavailable
from callapp.call_log.never_was import dial_failed
from callapp.errors import CarrierTimeout
from callapp.telephony.answering import Detection
from callapp.telephony.rest import Carrier, Placed

log = logging.getLogger(__name__)

# From the dial to the media stream: Twilio lets it ring for 60 s, and may have queued the dial before.
ANSWERED_WITHIN_S = 180


def dial(
    call: PlacedCall, origin: str, store: Store, carrier: Carrier, *, detection_s: int | None = None
) -> Placed:
    """Write the call down, dial it, and write down what Twilio said.

    Args:
        origin: where Twilio reaches the server that is to carry the call, e.g. ``https://host``.
        detection_s: for how long Twilio is to listen for an answering machine; ``None`` not at all.

    Raises:
        StoreUnavailable: the call could not be written down; nothing was dialled.
        CarrierTimeout: Twilio did not answer in time; the phone may ring all the same.
        CarrierError, ConfigError: nothing was dialled, as far as can be known.
    """
    incoming = urlencode({"agent": call.agent, "placed": call.id})
    placed_here = urlencode({"placed": call.id})
    place = Place.of(call.parameters)
    pair = f"&pair={place.pair}" if place is not None else ""
    detection = None
    if detection_s is not None:
        detection = Detection(f"{origin}/answered-by?{placed_here}", detection_s)
    store.place_call(call)
    try:
        placed = carrier.place_call(
            to=call.to_number,
            from_=call.from_number,
            url=f"{origin}/incoming-call?{incoming}",
            status_callback=f"{origin}/call-status?{placed_here}{pair}",
            detection=detection,
        )
    except CarrierTimeout:
        raise  # the webhooks have to find the call if the phone does ring
    except BaseException:
        _note_failure(call.id, store)
        raise
    try:
        store.call_dialled(call.id, placed.sid, placed.status)
    except StoreUnavailable as error:  # the webhooks know the call by its own id
        log.error("! call not noted as dialled: %s", error, extra={"call_sid": placed.sid})
    return placed


def dial_in_slot(
    call: PlacedCall,
    origin: str,
    store: Store,
    carrier: Carrier,
    registry: Registry,
    *,
    detection_s: int | None = None,
) -> Placed:
    """As ``dial``, for a call whose id has taken a slot: kept while the call may come, else given back."""
    # The clock starts before the dial: a webhook that comes before Twilio's answer to us restarts it.
    registry.expect_stream(call.id, ANSWERED_WITHIN_S)
    try:
        placed = dial(call, origin, store, carrier, detection_s=detection_s)
    except CarrierTimeout:
        raise  # it may ring all the same: the slot stays taken until the clock runs out
    except BaseException:
        registry.give_back(call.id)
        raise
    registry.also_known_as(call.id, placed.sid)
    return placed


def call_off(placed_id: str, store: Store, carrier: Carrier, registry: Registry) -> None:
    """Stop a phone that we had called from ringing, if it does; a call that was answered is left alone.

    Of no effect on a call of which Twilio has not told us the SID yet: whoever dials looks afterwards whether
    the call is still wanted.

    Raises:
        CallappError: that could not be done.
    """
    placed = store.find_placed(placed_id)
    if placed is not None and placed.call_sid is not None and not placed.answered and not placed.over:
        carrier.cancel_call(placed.call_sid)  # it may have been picked up by now: that is told later
        no_longer_expect(placed_id, placed.call_sid, store, registry)


def no_longer_expect(key: str, call_sid: str, store: Store, registry: Registry) -> None:
    """Twilio was told to end a call: of one that it still had queued, it tells no end, so it is asked.

    So it is of one whose process was killed, which nobody else would close.

    Args:
        key: a name of the call's slot, if that is taken in this process.
    """
    registry.give_back(key)
    with suppress(StoreUnavailable):  # it is asked later, as of any call of which no end is told
        store.ask_soon(call_sid)


def _note_failure(placed_id: str, store: Store) -> None:
    try:
        dial_failed(store, placed_id)
    except StoreUnavailable as error:
        log.error("! failed dial not noted: %s", error)
