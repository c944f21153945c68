"""What a call between two people that is written down needs of the app, put together."""

from __future__ import annotations

from callapp.agents import Agent
from callapp.call.captions import CaptionedCall
from callapp.call.journal import Journal, Particulars
from callapp.call.making import endpoint_of, most_ms
from callapp.call_log.records import Admission
from callapp.conversation.captioning import Terms
from callapp.logs import call_logger
from callapp.prices import usd_per_minute
from callapp.realtime.transcription import TranscriptionLeg
from callapp.services import Services
from callapp.telephony.leg import CallerLeg


def captioned_call(caller: CallerLeg, admission: Admission, agent: Agent, parts: Services) -> CaptionedCall:
    """Make what listens to a call whose stream has come in."""
    settings = parts.settings
    call_log = call_logger(admission.call_sid)
    wanted = agent.transcription
    assert wanted is not None, "an agent file of captions without a transcription is refused"
    endpoint = endpoint_of(settings, wanted.model)
    minute_usd = usd_per_minute(wanted.model)
    if minute_usd is None and settings.max_call_cost_usd is not None:
        call_log.warning("! the price of %s is not known: MAX_CALL_COST_USD does not hold", wanted.model)
    particulars = Particulars.of(admission, model=wanted.model, transcription_model=wanted.model)
    return CaptionedCall(
        caller.listening(),
        Terms(
            most_ms=most_ms(settings, agent),
            session_ms=1000 * settings.model_session_seconds,
            most_usd=settings.max_call_cost_usd,
            second_usd=None if minute_usd is None else minute_usd / 60,
        ),
        lambda: TranscriptionLeg(
            endpoint, wanted, agent.language, call_log, noise_reduction=agent.noise_reduction
        ),
        Journal(particulars, parts.listeners),
        call_log,
    )
