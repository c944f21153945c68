"""What ended a call, in a few words: the code itself stands beside them, as in the log and in the API."""

from __future__ import annotations

import re

from markupsafe import Markup, escape

from callapp.sentences import N_
from callapp.web.desk.pages import in_words
from callapp.web.desk.sign_in import blueprint

WORDS = {
    "agent.ended": N_("the agent said goodbye"),
    "agent.voicemail": N_("an answering machine picked up"),
    "agent.transferred": N_("put through to a person"),
    "caller.hung_up": N_("the caller hung up"),
    "other.hung_up": N_("the other person hung up"),
    "other.unreachable": N_("the other person could not be reached"),
    "limit.silence": N_("nobody spoke any more"),
    "limit.call_seconds": N_("the longest time was reached"),
    "limit.cost": N_("the highest cost was reached"),
    "twilio.disconnected": N_("the connection to Twilio broke"),
    "twilio.stalled": N_("Twilio took no audio"),
    "twilio.no_media": N_("Twilio sent no audio"),
    "twilio.failed": N_("the call failed"),
    "twilio.busy": N_("was busy"),
    "twilio.no-answer": N_("no answer"),
    "twilio.canceled": N_("called off"),
    "openai.unreachable": N_("OpenAI could not be reached"),
    "openai.refused": N_("OpenAI refused: key, model or credit"),
    "openai.no_session": N_("OpenAI opened no session in time"),
    "openai.session_rejected": N_("OpenAI rejected the session"),
    "openai.not_pcmu": N_("OpenAI offered another audio format"),
    "openai.disconnected": N_("the connection to OpenAI broke"),
    "openai.session_expired": N_("OpenAI ended the session"),
    "openai.failed": N_("OpenAI’s answers failed"),
    "openai.stalled": N_("OpenAI’s answer got stuck"),
    "openai.no_answer": N_("OpenAI did not answer"),
    "server.hung_up": N_("hung up from here"),
    "server.lost": N_("the server’s process was killed"),
    "server.moved": N_("goes on in another process"),
    "server.draining": N_("the server was about to stop"),
    "server.stopped": N_("the server stopped at once"),
    "server.error": N_("a bug: the log has the details"),
}


@blueprint.app_template_filter()
def breakable(code: str) -> Markup:
    """A code, or a name in a program, which a narrow page breaks where a word of it ends."""
    return Markup(re.sub("([._])", r"\1<wbr>", str(escape(code))))  # noqa: S704  (escaped)


@blueprint.app_template_filter()
def reason_in_words(code: str) -> str:
    """Empty for one that has none."""
    return in_words(WORDS.get(code, ""))
