"""TwiML: what Twilio is to do with a call. Pure: text in, XML out.

https://www.twilio.com/docs/voice/twiml
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from twilio.twiml import TwiML
from twilio.twiml.voice_response import (
    Connect,
    Dial,
    Gather,
    Hangup,
    Play,
    Say,
    Start,
    Stream,
    VoiceResponse,
)

TOKEN_PARAMETER = "callapp_token"  # noqa: S105  the name, not a token
AGENT_PARAMETER = "agent"
# Name and value of a <Parameter> together; Twilio allows fewer than 500 characters.
PARAMETER_CHARS = 500
# How long somebody may look for the next key.
_KEYS_WITHIN_S = 10

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
# When the person to whom a call goes does not take it.
_NOBODY = {
    "ja": "申し訳ございません。ただいま担当者が電話に出ることができません。のちほど、おかけ直しください。",
    "en": "We are sorry, nobody can take your call right now. Please call again later.",
}
# To the colleague who is to take a call over.
_TAKE_IT = {
    "ja": "お電話を引き継ぐには、1を押してください。",
    "en": "To take the call, press 1.",
}
_TOO_LATE = {
    "ja": "お客様は、もうお待ちではありません。",
    "en": "The caller is not waiting any more.",
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
    keys: str | None = None,
    notice: str | None = None,
    opening: str | None = None,
    closing: str | None = None,
) -> str:
    """Say the notice and the opening, join the call to our media socket, then say the closing.

    A call parameter that is too long for a ``<Parameter>``, or whose name is one of ours, is left out:
    the one-time token stands for all of them anyway.

    Args:
        keys: sent to the other side first: ``0-9 * #``, and ``w`` for half a second.
    """
    connect = Connect()
    connect.append(_stream(stream_url, token, agent, parameters))
    return _document(
        None if keys is None else Play(digits=keys),
        _say(notice, language),
        _say(opening, language),
        connect,
        _say(closing, language),
        Hangup(),
    )


def dial(number: str, *, caller_id: str, action: str, answered: str, ring_s: int) -> str:
    """Ring a number and join it to the call.

    Args:
        action: what is asked when that is over, or came to nothing; its answer goes on with the call.
        answered: what is told when somebody picks up.
    """
    dial = Dial(caller_id=caller_id, timeout=ring_s, action=action, method="POST")
    dial.number(
        number,
        status_callback=answered,
        status_callback_event="answered",
        status_callback_method="POST",
    )
    return _document(dial)


@dataclass(frozen=True)
class Listening:
    """How we hear a call to which we only listen.

    Args:
        stream_url: where its stream comes in, under a one-time token.
        over_url: what is asked when the two have talked, or nobody answered.
    """

    stream_url: str
    token: str
    agent: str
    over_url: str


def forward(number: str, *, language: str, opening: str | None, listening: Listening | None) -> str:
    """Say the opening, and put the caller through; with ``listening`` we hear both meanwhile."""
    start, dial = None, Dial()
    if listening is not None:
        start, dial = Start(), Dial(action=listening.over_url, method="POST")
        start.append(_stream(listening.stream_url, listening.token, listening.agent, {}, track="both_tracks"))
    dial.number(number)
    return _document(_say(opening, language), start, dial, Hangup())


def part(language: str, closing: str | None) -> str:
    """Say the closing, if there is one, and hang up."""
    return _document(_say(closing, language), Hangup())


def wait_in(room: str, *, action: str) -> str:
    """Wait with music until a colleague comes into the room; when they leave it, ask ``action``."""
    dial = Dial(action=action, method="POST")
    dial.conference(room, start_conference_on_enter=False, end_conference_on_exit=True, beep="false")
    return _document(dial)


def ask_colleague(summary: str, *, action: str, language: str) -> str:
    """Tell what a call is about, twice if need be, and ask for a key; hang up if none is pressed."""
    prompt, language = _in(_TAKE_IT, language)
    gather = Gather(num_digits=1, timeout=_KEYS_WITHIN_S, action=action, method="POST", finish_on_key="")
    for _ in range(2):
        if summary:
            gather.say(_xml(summary), language=language)
        gather.say(prompt, language=language)
    return _document(gather, Hangup())


def join(room: str) -> str:
    """Go into the room in which a caller waits; whoever leaves it ends it."""
    dial = Dial()
    dial.conference(room, start_conference_on_enter=True, end_conference_on_exit=True, beep="false")
    return _document(dial, Hangup())


def too_late(language: str) -> str:
    """The colleague took a call that is not there any more."""
    return _spoken(_TOO_LATE, language)


def put_through(number: str, caller_id: str | None) -> str:
    """Ring a number and join it to the call, with which we have nothing more to do.

    Args:
        caller_id: the number that is shown there; ``None`` for the caller's own.
    """
    dial = Dial(caller_id=caller_id)
    dial.number(number)
    return _document(dial, Hangup())


def hang_up() -> str:
    """Nothing more."""
    return _document(Hangup())


def _stream(
    url: str, token: str, agent: str, parameters: Mapping[str, str], track: str | None = None
) -> Stream:
    stream = Stream(url=url, track=track)
    stream.parameter(name=TOKEN_PARAMETER, value=token)
    stream.parameter(name=AGENT_PARAMETER, value=agent)
    for name, value in parameters.items():
        if name not in (TOKEN_PARAMETER, AGENT_PARAMETER) and len(name) + len(value) < PARAMETER_CHARS:
            stream.parameter(name=_xml(name), value=_xml(value))
    return stream


def stream_url(origin: str) -> str:
    """The media socket: ``wss`` for an ``https`` origin, ``ws`` for an ``http`` one."""
    return "ws" + origin.removeprefix("http") + "/ws"


def ask_for_keys(
    prompts: Sequence[tuple[str, str]], action: str, *, count: int | None, otherwise: tuple[str, str]
) -> str:
    """Ask for keys, which go to ``action``; who presses none hears a last line and is hung up on.

    Args:
        prompts: texts, each after its language.
        count: how many keys; ``None`` for as many as come before ``#``.
    """
    gather = Gather(action=action, method="POST", timeout=_KEYS_WITHIN_S, finish_on_key="#", num_digits=count)
    for language, text in prompts:
        gather.say(text, language=language)
    language, text = otherwise
    return _document(gather, Say(text, language=language), Hangup())


def busy(language: str) -> str:
    """No line is free."""
    return _spoken(_BUSY, language)


class Fallback(NamedTuple):
    """The number of a person, and the URL that is asked what follows once that dial is over."""

    number: str
    over_url: str


def apology(language: str, fallback: Fallback | None = None) -> str:
    """Something of ours is broken: a person takes the call, or it ends."""
    if fallback is None:
        return _spoken(_APOLOGY, language)
    text, language = _in(_TRANSFER, language)
    return _document(Say(text, language=language), Dial(fallback.number, action=fallback.over_url))


def nobody_there(language: str) -> str:
    """The person who was to take the call did not."""
    return _spoken(_NOBODY, language)


def _document(*verbs: TwiML | None) -> str:
    """Do this, one thing after another."""
    response = VoiceResponse()
    for verb in verbs:
        if verb is not None:
            response.append(verb)
    return str(response)


def _say(line: str | None, language: str) -> Say | None:
    """Say a line of an agent's, if it has one."""
    return Say(_xml(line), language=language) if line else None


def _spoken(texts: Mapping[str, str], language: str) -> str:
    text, language = _in(texts, language)
    return _document(Say(text, language=language), Hangup())


def _in(texts: Mapping[str, str], language: str) -> tuple[str, str]:
    """The words in a language and its tag, or in English if we do not know them."""
    text = texts.get(language.partition("-")[0].lower())
    return (texts["en"], "en-US") if text is None else (text, language)


def _xml(text: str) -> str:
    return _NOT_XML.sub("", text)
