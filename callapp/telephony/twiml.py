"""TwiML: what Twilio is to do with a call. Pure: text in, XML out.

https://www.twilio.com/docs/voice/twiml
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from twilio.twiml.voice_response import Connect, Stream, VoiceResponse

TOKEN_PARAMETER = "callapp_token"  # noqa: S105  the name, not a token
AGENT_PARAMETER = "agent"
# Name and value of a <Parameter> together; Twilio allows fewer than 500 characters.
PARAMETER_CHARS = 500

_BUSY = {
    "ja": "申し訳ございません。ただいま電話が混み合っております。のちほど、おかけ直しください。",
    "en": "We are sorry, all lines are busy at the moment. Please call again later.",
}
_APOLOGY = {
    "ja": "申し訳ございません。ただいまお電話をお繋ぎできません。のちほど、おかけ直しください。",
    "en": "We are sorry, your call cannot be connected right now. Please call again later.",
}
# Before the call goes to the agent's `fallback_number`.
_TRANSFER = {
    "ja": "申し訳ございません。担当者にお繋ぎいたしますので、そのままお待ちください。",
    "en": "We are sorry, something went wrong here. Please hold, we are connecting you to a person.",
}
# Characters that no XML 1.0 document can hold, not even escaped.
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def connect_stream(
    *,
    stream_url: str,
    token: str,
    agent: str,
    parameters: Mapping[str, str],
    language: str,
    opening: str | None = None,
    closing: str | None = None,
) -> str:
    """Say the opening, join the call to our media socket, and when that closes say the closing.

    A call parameter that is too long for a ``<Parameter>``, or whose name is one of ours, is left out:
    the one-time token stands for all of them anyway.
    """
    response = VoiceResponse()
    if opening:
        response.say(_xml(opening), language=language)
    stream = Stream(url=stream_url)
    stream.parameter(name=TOKEN_PARAMETER, value=token)
    stream.parameter(name=AGENT_PARAMETER, value=agent)
    for name, value in parameters.items():
        if name not in (TOKEN_PARAMETER, AGENT_PARAMETER) and len(name) + len(value) < PARAMETER_CHARS:
            stream.parameter(name=_xml(name), value=_xml(value))
    connect = Connect()
    connect.append(stream)
    response.append(connect)
    if closing:
        response.say(_xml(closing), language=language)
    response.hangup()
    return str(response)


def busy(language: str) -> str:
    """No line is free."""
    return _spoken(_BUSY, language)


def apology(language: str, transfer_to: str | None = None) -> str:
    """Something of ours is broken. With a number in ``transfer_to`` a person there takes the call."""
    if transfer_to is None:
        return _spoken(_APOLOGY, language)
    return _spoken(_TRANSFER, language, transfer_to)


def _spoken(texts: Mapping[str, str], language: str, transfer_to: str | None = None) -> str:
    """Say it in the agent's language if we know the words, else in English."""
    text = texts.get(language.partition("-")[0].lower())
    if text is None:
        text, language = texts["en"], "en-US"
    response = VoiceResponse()
    response.say(text, language=language)
    if transfer_to is not None:
        response.dial(transfer_to)
    response.hangup()
    return str(response)


def _xml(text: str) -> str:
    return _NOT_XML.sub("", text)
