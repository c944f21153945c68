"""What an interpreted call needs of the app, put together for one side of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from callapp.agents import Agent
from callapp.call.dial import call_off, dial_in_slot
from callapp.call.interpreter import InterpretedSide, Outside
from callapp.call.interpreter_books import Books
from callapp.call.journal import Journal, Particulars
from callapp.call.making import endpoint_of, most_ms
from callapp.call.pairing import OTHER_NUMBER, Place
from callapp.call.pricing import pricing
from callapp.call.translators import Translator
from callapp.call_log import PlacedCall
from callapp.call_log.records import Admission
from callapp.conversation.events import Usage
from callapp.conversation.interpreting import Terms
from callapp.errors import CallappError
from callapp.logs import CallLogger, call_logger
from callapp.prices import usd_per_minute
from callapp.realtime.interpreting_model import InterpretingModel, interpreting_instructions
from callapp.realtime.session import SessionConfig
from callapp.realtime.translation import TRANSLATION_MODEL, TranslationLeg
from callapp.services import Services
from callapp.telephony import interpreter_lines
from callapp.telephony.leg import CallerLeg


class CannotCall(CallappError):
    """The other person may not, or cannot, be called."""


def interpreted_side(
    caller: CallerLeg, admission: Admission, agent: Agent, parts: Services, origin: str
) -> InterpretedSide:
    """Make the side of an interpreted call whose stream has come in.

    Args:
        origin: where Twilio reaches us, should the other person have to be called.
    """
    settings = parts.settings
    call_log = call_logger(admission.call_sid)
    place = Place.of(admission.parameters)
    assert place is not None, "whoever admits a call to an interpreter gives it a place"
    if settings.web_concurrency > 1 and not parts.pairs.across_processes:
        call_log.warning(
            "! the other person's call may reach another process, which this one cannot speak with: "
            "set REDIS_URL, or DATABASE_URL to a PostgreSQL, or WEB_CONCURRENCY to 1"
        )
    engine = _engine(agent, place, parts, call_log)
    terms = Terms(
        most_ms=most_ms(settings, agent),
        session_ms=1000 * settings.model_session_seconds,
    )
    particulars = Particulars.of(admission, model=engine.model, transcription_model=engine.by_the_minute)
    outside = Outside(
        new_translator=engine.new,
        join=lambda side: parts.pairs.join(place.pair, side),
        leave=lambda side: parts.pairs.leave(place.pair, side),
        call_off=lambda: call_off(place.other.placed_id, parts.store, parts.carrier, parts.registry),
        # Where both were dialled together, the other phone rings already.
        call_partner=None
        if admission.slot_key == place.placed_id
        else lambda: _call_partner(place.other, admission, agent, parts, origin),
        apologise=lambda: parts.carrier.apologise(
            admission.call_sid, interpreter_lines.lines(agent.languages[place.side]).tag
        ),
    )
    most_usd = settings.max_call_cost_usd
    books = Books(
        Journal(particulars, parts.listeners),
        # The other side has the other half.
        None if most_usd is None else most_usd / 2,
        engine.usd_of,
    )
    return InterpretedSide(caller, terms, agent.original_voice, outside, books, call_log)


@dataclass(frozen=True)
class _Engine:
    """What translates.

    Args:
        model: its name.
        by_the_minute: the model of which minutes are counted, if any.
        usd_of: what something costs that it used.
        new: makes a translator, not dialled yet.
    """

    model: str
    by_the_minute: str | None
    usd_of: Callable[[Usage], float] | None
    new: Callable[[], Translator]


def _engine(agent: Agent, place: Place, parts: Services, call_log: CallLogger) -> _Engine:
    settings = parts.settings
    source, target = agent.languages[place.side], agent.languages[place.other.side]
    translates = agent.engine == "translation"
    usual = TRANSLATION_MODEL if translates else settings.openai_realtime_model
    endpoint = endpoint_of(settings, agent.model or usual)
    if translates:
        minute_usd = usd_per_minute(endpoint.model)
        if minute_usd is None and settings.max_call_cost_usd is not None:
            call_log.warning(
                "! the price of %s is not known: MAX_CALL_COST_USD does not hold", endpoint.model
            )
        return _Engine(
            endpoint.model,
            endpoint.model,
            None if minute_usd is None else lambda usage: usage.transcribed_s / 60 * minute_usd,
            lambda: TranslationLeg(
                endpoint,
                target,
                call_log,
                transcribed=agent.transcription is not None,
                noise_reduction=agent.noise_reduction,
            ),
        )
    config = SessionConfig(
        instructions=interpreting_instructions(source, target, agent.instructions),
        voice=agent.voice,
        language=source,
        transcription=agent.transcription,
        noise_reduction=agent.noise_reduction,
        answers_turns=False,
    )
    return _Engine(
        endpoint.model,
        agent.transcriber,
        None if settings.max_call_cost_usd is None else pricing(endpoint.model, agent.transcriber or ""),
        lambda: InterpretingModel(endpoint, config, call_log),
    )


def _call_partner(place: Place, admission: Admission, agent: Agent, parts: Services, origin: str) -> None:
    """Ring the person whom a caller wants to talk to.

    Raises:
        CallappError: they may not or cannot be called.
    """
    number = admission.parameters.get(OTHER_NUMBER, agent.other_party)
    if number is None or not parts.settings.may_dial(number):
        raise CannotCall("ALLOWED_DESTINATIONS does not permit it")
    if parts.rate_limits.count_callee(number) is not None:
        raise CannotCall("RATE_LIMIT_PER_CALLEE does not permit it")
    from_number = parts.settings.from_phone_number or admission.to_number
    if not parts.registry.take_slot(place.placed_id):
        raise CannotCall("all lines are busy")
    dial_in_slot(
        PlacedCall(place.placed_id, agent.name, place.parameters, from_number, number),
        origin,
        parts.store,
        parts.carrier,
        parts.registry,
    )
