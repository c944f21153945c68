"""The end of a call's recordings, wherever they are."""

from __future__ import annotations

from callapp.call_log.recordings import recording_path
from callapp.call_log.store import Store
from callapp.errors import CarrierRefused
from callapp.recording.at_twilio import sid_of
from callapp.recording.bench import Bench
from callapp.recording.shelf import Shelf
from callapp.telephony.rest import Carrier


def delete_recordings(call_sid: str, store: Store, shelf: Shelf, bench: Bench, carrier: Carrier) -> None:
    """Delete what was recorded of a call, here and at Twilio.

    Raises:
        StoreUnavailable, ShelfUnavailable, CarrierError: that did not work.
    """
    shelf.delete(call_sid)
    bench.delete(call_sid)  # the shelf may have been away when the call ended
    recording_sid = sid_of(recording_path(store, call_sid) or "")
    if recording_sid is not None:
        delete_at_twilio(recording_sid, carrier)


def delete_at_twilio(recording_sid: str, carrier: Carrier) -> None:
    """Delete a recording that Twilio has made.

    Raises:
        CarrierError: that did not work.
    """
    try:
        carrier.delete_recording(recording_sid)
    except CarrierRefused as refusal:
        if refusal.status != 404:  # it is gone already
            raise
