"""How TwiML is read."""

from __future__ import annotations

import pytest

from callapp.simulators import twiml_reader as twiml
from callapp.simulators.twiml_reader import TwimlError, read_twiml


def test_a_call_with_a_stream() -> None:
    verbs = read_twiml(
        """<?xml version="1.0" encoding="UTF-8"?>
        <Response>
          <Say language="ja-JP">こんにちは。</Say>
          <Connect action="/after"><Stream url="wss://host/ws" name="main">
            <Parameter name="token" value="a&amp;b"/><Parameter name="agent" value="operator"/>
          </Stream></Connect>
          <Pause length="2"/><Play digits="1w2"/><Redirect method="GET">next?a=1</Redirect><Hangup/>
        </Response>""",
        content_type="text/xml; charset=utf-8",
        base_url="https://host/voice/incoming",
    )
    assert verbs == [
        twiml.Say("こんにちは。", "ja-JP", "man", 1),
        twiml.ConnectStream(
            twiml.Stream(
                url="wss://host/ws",
                name="main",
                parameters={"token": "a&b", "agent": "operator"},
                status_callback="",
                status_callback_method="POST",
                tracks=("inbound",),
            ),
            action="https://host/after",
            action_method="POST",
        ),
        twiml.Pause(2),
        twiml.Play("", "1w2", 1),
        twiml.Redirect("https://host/voice/next?a=1", "GET"),
        twiml.Hangup(),
    ]


def test_dials_conferences_and_gathers() -> None:
    assert read_twiml(
        """<Response>
          <Dial action="/over" timeout="20" callerId="+15005550006"><Number statusCallback="/told"
            statusCallbackEvent="answered completed">+819012345678</Number></Dial>
          <Dial>+819012345678</Dial>
          <Dial><Conference startConferenceOnEnter="false" endConferenceOnExit="true">room</Conference></Dial>
          <Gather action="/taken" numDigits="1" finishOnKey=""><Say>Press 1.</Say><Pause/></Gather>
        </Response>""",
        base_url="https://host/",
    ) == [
        twiml.Dial(
            twiml.Number("+819012345678", "https://host/told", "POST", frozenset({"answered", "completed"})),
            "https://host/over",
            "POST",
            20,
            "+15005550006",
        ),
        twiml.Dial(twiml.Number("+819012345678", "", "POST", frozenset()), "", "POST", 30, ""),
        twiml.Dial(twiml.Conference("room", starts_on_enter=False, ends_on_exit=True), "", "POST", 30, ""),
        twiml.Gather(
            (twiml.Say("Press 1.", "en-US", "man", 1), twiml.Pause(1)), "https://host/taken", "POST", 5, 1, ""
        ),
    ]


@pytest.mark.parametrize(
    "verb",
    [
        '<Dial action="/over">+819012345678</Dial>',
        '<Gather action="/over"/>',
        '<Connect action="/over"><Stream url="wss://host/ws"/></Connect>',
    ],
)
def test_an_action_in_twiml_of_the_rest_api_has_to_be_absolute(verb: str) -> None:
    with pytest.raises(TwimlError) as caught:
        read_twiml(f"<Response>{verb}</Response>")
    assert caught.value.code == 11100


def test_a_relative_stream_url_takes_the_host_of_the_webhook() -> None:
    text = '<Response><Connect><Stream url="/ws"/></Connect></Response>'
    (verb,) = read_twiml(text, base_url="https://host/incoming-call")
    assert isinstance(verb, twiml.ConnectStream)
    assert verb.stream.url == "wss://host/ws"


def test_an_empty_response_is_valid() -> None:
    assert read_twiml("<Response/>") == []


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("<Fax/>", 12200),
        ("<say>hello</say>", 12200),
        ("<Say>  </Say>", 13520),
        ('<Say langauge="ja-JP">hello</Say>', 12200),
        ("<Say>a<Pause/></Say>", 12200),
        ("<Connect/>", 12200),
        ('<Connect><Stream url="wss://host/ws?token=1"/></Connect>', 31920),
        ('<Connect><Stream url="https://host/ws"/></Connect>', 11100),
        ('<Connect><Stream url="wss://host/ws"><Param/></Stream></Connect>', 12200),
        ('<Connect><Stream url="wss://h/"><Parameter value="x"/></Stream></Connect>', 12200),
        (
            f'<Connect><Stream url="wss://h/"><Parameter name="x" value="{"y" * 499}"/></Stream></Connect>',
            12200,
        ),
        ("<Start/>", 12200),
        ('<Start><Stream url="wss://h/" track="both"/></Start>', 31941),
        ('<Connect><Stream url="wss://h/" track="both_tracks"/></Connect>', 12200),
        ('<Pause length="1.5"/>', 12200),
        ('<Reject reason="tired"/>', 12200),
        ('<Redirect method="PUT">/x</Redirect>', 12200),
        ('<Play digits="12x"/>', 12200),
        ("<Dial/>", 13223),
        ("<Dial>0901234</Dial>", 13224),
        ('<Dial timeout="2">+819012345678</Dial>', 13212),
        ("<Dial><Sip>sip:a@b</Sip></Dial>", 12200),
        ("<Dial><Number>+819012345678</Number><Number>+819012345679</Number></Dial>", 12200),
        ('<Dial><Number statusCallbackEvent="done">+819012345678</Number></Dial>', 12200),
        ('<Dial><Conference beep="no">room</Conference></Dial>', 12200),
        ("<Dial><Conference/></Dial>", 13230),
        ("<Gather><Say>1?</Say></Gather>", 12200),
        ('<Gather action="/x"><Dial>+819012345678</Dial></Gather>', 12200),
    ],
)
def test_what_twilio_would_stumble_over_is_an_error(body: str, code: int) -> None:
    with pytest.raises(TwimlError) as caught:
        read_twiml(f"<Response>{body}</Response>", base_url="http://host/")
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("text", "content_type", "code"),
    [
        ("<Response>", "text/xml", 12100),
        ("", "text/xml", 12100),
        ("<Answer/>", "text/xml", 12102),
        ("<Response/>", "application/json", 12300),
        ("<Response/>", "", 12300),
    ],
)
def test_what_is_no_twiml_at_all_is_an_error(text: str, content_type: str, code: int) -> None:
    with pytest.raises(TwimlError) as caught:
        read_twiml(text, content_type=content_type)
    assert caught.value.code == code
