"""The messages of a Media Stream, without a socket."""

from __future__ import annotations

import base64
import json
import wave
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callapp.simulators.callee import Callee, Press, Say
from callapp.simulators.clips import Clip
from callapp.simulators.phone_stream import FRAME_NS, PhoneStream

MS = 1_000_000
SID = "MZ" + "1" * 32


def new_stream(callee: Callee | None = None, **options: Any) -> PhoneStream:
    return PhoneStream(
        account_sid="AC" + "2" * 32,
        call_sid="CA" + "3" * 32,
        stream_sid=SID,
        parameters={"name": "花"},
        callee=callee or Callee(),
        **options,
    )


def media(audio: bytes, **changes: object) -> str:
    payload = base64.b64encode(audio).decode()
    return json.dumps({"event": "media", "streamSid": SID, "media": {"payload": payload}} | changes)


def mark(name: object) -> str:
    return json.dumps({"event": "mark", "streamSid": SID, "mark": {"name": name}})


CLEAR = json.dumps({"event": "clear", "streamSid": SID})


def test_a_stream_begins_as_documented() -> None:
    connected, start = new_stream().begin()
    assert connected == '{"event":"connected","protocol":"Call","version":"1.0.0"}'
    assert json.loads(start) == {
        "event": "start",
        "sequenceNumber": "1",
        "streamSid": SID,
        "start": {
            "accountSid": "AC" + "2" * 32,
            "streamSid": SID,
            "callSid": "CA" + "3" * 32,
            "tracks": ["inbound"],
            "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
            "customParameters": {"name": "花"},
        },
    }


def test_media_is_laid_out_to_the_byte_as_documented() -> None:
    stream = new_stream(Callee([Say(Clip("low", bytes(320)))]))
    stream.begin()
    stream.frame()
    (text,), hangs_up = stream.frame()
    payload = base64.b64encode(bytes(160)).decode()
    assert text == (
        f'{{"event":"media","sequenceNumber":"3","streamSid":"{SID}",'
        f'"media":{{"track":"inbound","chunk":"2","timestamp":"20","payload":"{payload}"}}}}'
    )
    assert len(payload) == 216
    assert not hangs_up


def test_the_other_order_of_keys_says_the_same() -> None:
    plain, turned = new_stream(), new_stream(reversed_keys=True)
    for one, other in zip(plain.begin(), turned.begin(), strict=True):
        assert json.loads(one) == json.loads(other)
        assert one != other
    assert json.loads(plain.frame()[0][0]) == json.loads(turned.frame()[0][0])
    assert turned.stop().startswith('{"stop": {"callSid": ')


def test_keys_come_as_dtmf_and_every_message_has_its_number() -> None:
    stream = new_stream(Callee([Press("5")]))
    stream.begin()
    texts = [*stream.frame()[0], *stream.frame()[0], stream.stop()]
    assert texts[0] == (
        f'{{"event":"dtmf","streamSid":"{SID}","sequenceNumber":"2",'
        '"dtmf":{"track":"inbound_track","digit":"5"}}'
    )
    messages = [json.loads(text) for text in texts]
    assert [message["event"] for message in messages] == ["dtmf", "media", "media", "stop"]
    assert [message["sequenceNumber"] for message in messages] == ["2", "3", "4", "5"]


def test_marks_come_back_through_the_play_out_clock() -> None:
    stream = new_stream()
    assert stream.receive(0, media(bytes(800))) == []
    assert stream.receive(0, mark("a")) == []
    assert stream.echoes(99 * MS) == []
    (echo,) = stream.echoes(100 * MS)
    assert json.loads(echo)["mark"] == {"name": "a"}
    (echo,) = stream.receive(101 * MS, mark("b"))
    assert json.loads(echo)["mark"] == {"name": "b"}
    stream.receive(110 * MS, media(bytes(8000)))
    stream.receive(110 * MS, mark("c"))
    (echo,) = stream.receive(150 * MS, CLEAR)
    assert json.loads(echo)["mark"] == {"name": "c"}
    assert stream.heard_ms(at_ms=2000) == 140
    assert not stream.violations


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        '"media"',
        json.dumps({"event": "hello", "streamSid": SID}),
        json.dumps({"streamSid": SID}),
        json.dumps({"event": "clear"}),
        json.dumps({"event": "clear", "streamSid": "MZ" + "9" * 32}),
        json.dumps({"event": "media", "streamSid": SID}),
        json.dumps({"event": "media", "streamSid": SID, "media": {}}),
        json.dumps({"event": "media", "streamSid": SID, "media": {"payload": 5}}),
        json.dumps({"event": "media", "streamSid": SID, "media": {"payload": "//8"}}),
        json.dumps({"event": "media", "streamSid": SID, "media": {"payload": "//8=\n"}}),
        json.dumps({"event": "media", "streamSid": SID, "media": {"payload": "ä"}}),
        media(b""),
        media(b"RIFF\x24\x00\x00\x00WAVE"),
        mark(None),
        mark(""),
        mark(7),
    ],
)
def test_what_is_not_the_protocol_is_noted_and_not_played(text: str) -> None:
    stream = new_stream()
    assert stream.receive(0, text) == []
    assert len(stream.violations) == 1
    assert not stream.playout.chunks
    assert not stream.playout.echoes
    assert [received.text for received in stream.received] == [text]


def test_a_mark_used_twice_is_noted_and_still_comes_back() -> None:
    stream = new_stream()
    stream.receive(0, mark("again"))
    assert len(stream.receive(0, mark("again"))) == 1
    assert stream.violations == ["the mark 'again' a second time"]


def test_both_sides_lie_beside_each_other_in_the_wav(tmp_path) -> None:
    spoken = Clip("low", bytes([0x00]) * 320)
    stream = new_stream(Callee([Say(spoken)]))
    stream.receive(10 * MS, media(bytes([0x80]) * 160))
    for _ in range(3):
        stream.frame()
    stream.write_wav(tmp_path / "call.wav")
    with wave.open(str(tmp_path / "call.wav")) as wav:
        assert (wav.getnchannels(), wav.getsampwidth(), wav.getframerate()) == (2, 2, 8000)
        frames = wav.readframes(wav.getnframes())
    samples = memoryview(frames).cast("h").tolist()
    left, right = samples[0::2], samples[1::2]
    assert left == [-32124] * 320 + [0] * 160
    assert right == [0] * 80 + [32124] * 160 + [0] * 240


def test_an_answer_is_timed_from_the_end_of_the_voice_to_the_first_voice_heard() -> None:
    loud = bytes([0x20, 0xA0]) * 80
    stream = new_stream(Callee([Say(Clip("short", loud * 5))]))
    for number in range(40):
        if number == 20:
            stream.receive(20 * FRAME_NS, media(loud * 5))
        stream.frame()
    assert stream.voice_to_voice_ms() == [300]
    assert stream.heard_voice_after(600) is None


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(), lambda inner: st.dictionaries(st.text(), inner)
)


@given(
    st.text()
    | JSON.map(json.dumps)
    | st.fixed_dictionaries(
        {"event": st.sampled_from(["media", "mark", "clear"]), "streamSid": st.just(SID)},
        optional={"media": JSON, "mark": JSON, "payload": JSON, "name": JSON},
    ).map(json.dumps)
)
def test_nothing_an_application_sends_breaks_the_phone(text: str) -> None:
    stream = new_stream()
    for at in (0, 5 * MS):
        stream.receive(at, text)
        stream.frame()
    assert stream.violations or '"clear"' in text


def test_json_too_deep_to_read_is_no_json() -> None:
    stream = new_stream()
    stream.receive(0, "[" * 100_000)
    assert len(stream.violations) == 1
