"""The built-in tool that tells a machine from a person."""

from __future__ import annotations

from callapp.conversation.wishes import VoicemailReached
from callapp.tools.declare import tool


@tool
def report_voicemail() -> VoicemailReached:
    """Tell that an answering machine has picked up, not a person: a recorded greeting says that nobody
    is there, or asks to leave a message after the tone. Call this as soon as you are sure, and say
    nothing before or after it: the message is left, or the call ended, without you.

    A call screener is no answering machine. When a voice asks who is calling and why, say in one
    sentence who you are, for whom you call and why; then stay silent until a person speaks.
    """
    return VoicemailReached()
