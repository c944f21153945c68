"""Twilio's messages in our words, whatever order their keys are in; and nothing it can say is fatal."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from contextlib import suppress
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callapp.conversation.commands import ClearAudio, PlayAudio, SendMark
from callapp.conversation.events import CallerHungUp, Played
from callapp.errors import BadMessage
from callapp.telephony.media_streams import (
    CallerAudio,
    Connected,
    DigitPressed,
    Encoder,
    OtherAudio,
    Started,
    decode,
    join,
)

SID = "MZ" + "1" * 32
CALL_SID = "CA" + "2" * 32
MEDIA = {"track": "inbound", "chunk": "2", "timestamp": "25", "payload": "//8="}


def read(message: object) -> object:
    return decode(json.dumps(message, separators=(",", ":")).encode())


@pytest.mark.parametrize("order", list(permutations(["event", "sequenceNumber", "streamSid", "media"])))
def test_media_means_the_same_in_every_order_of_its_keys(order):
    message = {"event": "media", "sequenceNumber": "4", "streamSid": SID, "media": MEDIA}
    assert read({key: message[key] for key in order}) == CallerAudio(b"//8=", 25)


@pytest.mark.parametrize("order", list(permutations(MEDIA)))
def test_and_of_its_inner_keys(order):
    message = {"event": "media", "sequenceNumber": "4", "media": {k: MEDIA[k] for k in order}}
    assert read(message) == CallerAudio(b"//8=", 25)


def test_media_with_white_space_or_more_fields_goes_the_long_way():
    message = {"event": "media", "media": {**MEDIA, "new": {"deep": [1]}}, "more": None}
    assert decode(json.dumps(message, indent=1).encode()) == CallerAudio(b"//8=", 25)


@pytest.mark.parametrize("timestamp", ["", "soon", "-5", "9" * 16, 25, None])
def test_a_timestamp_that_is_none_is_not_known(timestamp):
    message = {"event": "media", "sequenceNumber": "4", "media": {**MEDIA, "timestamp": timestamp}}
    assert read(message) == CallerAudio(b"//8=", None)


def test_start_carries_the_parameters():
    start = {
        "accountSid": "AC1",
        "callSid": CALL_SID,
        "streamSid": SID,
        "tracks": ["inbound"],
        "customParameters": {"customerId": "12345"},
    }
    assert read({"event": "start", "sequenceNumber": "1", "start": start, "streamSid": SID}) == Started(
        CALL_SID, SID, {"customerId": "12345"}
    )


@pytest.mark.parametrize(
    ("message", "event"),
    [
        ({"event": "connected", "protocol": "Call", "version": "1.0.0"}, Connected()),
        (
            {"event": "mark", "sequenceNumber": "4", "streamSid": SID, "mark": {"name": "mark-1"}},
            Played("mark-1"),
        ),
        (
            {"event": "dtmf", "streamSid": SID, "dtmf": {"track": "inbound_track", "digit": "1"}},
            DigitPressed("1"),
        ),
        ({"event": "stop", "streamSid": SID, "stop": {"callSid": CALL_SID}}, CallerHungUp()),
        ({"event": "media", "media": {**MEDIA, "track": "outbound"}}, OtherAudio(b"//8=", 25)),
        ({"event": "media", "media": {**MEDIA, "track": "sideways"}}, None),
        ({"event": "media", "media": {**MEDIA, "track": ["outbound"]}}, None),
        ({"event": "media", "sequenceNumber": "4", "media": {**MEDIA, "payload": ""}}, None),
        ({"event": "something new"}, None),
        ({"event": {"not": "text"}}, None),
        ({}, None),
    ],
)
def test_the_other_messages(message, event):
    assert read(message) == event


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"{",
        b'"media"',
        b'{"event":"media"}',
        b'{"event":"media","media":{"payload":5}}',
        b'{"event":"media","media":{"payload":"/8="}}',
        b'{"event":"media","media":{"payload":"//\\"8="}}',
        b'{"event":"mark","mark":{}}',
        b'{"event":"start","start":{"callSid":"CA1"}}',
        b'{"event":"dtmf","dtmf":{"digit":"12"}}',
        b'{"event":"dtmf","dtmf":{"digit":""}}',
        b'{"event":"dtmf","dtmf":{"digit":"E"}}',
    ],
)
def test_a_known_message_with_something_wrong_is_bad(data):
    with pytest.raises(BadMessage):
        decode(data)


@given(st.binary())
def test_arbitrary_bytes_never_crash(data):
    with suppress(BadMessage):
        decode(data)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
INNER = st.dictionaries(
    st.sampled_from(["payload", "track", "name", "digit", "callSid", "streamSid", "customParameters"]), JSON
)


@given(
    st.sampled_from(["media", "mark", "dtmf", "connected", "start", "stop"]),
    st.dictionaries(st.sampled_from(["media", "mark", "dtmf", "start", "stop"]), INNER | JSON),
)
def test_arbitrary_json_of_known_events_never_crashes(event, fields):
    with suppress(BadMessage):
        decode(json.dumps({"event": event, **fields}).encode())


@given(st.lists(st.binary(max_size=400), min_size=1, max_size=8))
def test_joined_chunks_are_the_same_bytes(chunks):
    joined = join([b64encode(chunk) for chunk in chunks])
    assert b64decode(joined, validate=True) == b"".join(chunks)


@given(st.binary(max_size=500), st.text(min_size=1))
def test_what_we_send_is_what_twilio_documents(audio, name):
    encoder = Encoder(SID)
    payload = b64encode(audio)
    assert json.loads(encoder.encode(PlayAudio(payload))) == {
        "event": "media",
        "streamSid": SID,
        "media": {"payload": payload.decode()},
    }
    try:
        name.encode()
    except UnicodeEncodeError:
        return
    assert json.loads(encoder.encode(SendMark(name))) == {
        "event": "mark",
        "streamSid": SID,
        "mark": {"name": name},
    }
    assert json.loads(encoder.encode(ClearAudio())) == {"event": "clear", "streamSid": SID}
