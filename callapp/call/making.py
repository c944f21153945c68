"""Makes what carries a call: the agent's file, the settings and what was admitted, put together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from urllib.parse import quote

from callapp.agents import Agent
from callapp.call.bridge import Bridge
from callapp.call.journal import Journal, Listener, Particulars
from callapp.call.lines import hold_line
from callapp.call.outside import Outside
from callapp.call.pricing import pricing
from callapp.call.switchboard import Extension, Switchboard, resumed
from callapp.call_log.records import Admission, AwayCall
from callapp.conversation.asides import Manners
from callapp.conversation.hearing import Ears
from callapp.conversation.plan import Plan
from callapp.logs import CallLogger, call_logger
from callapp.realtime.dialling import Endpoint
from callapp.realtime.leg import ModelLeg
from callapp.realtime.session import RemoteTools, SessionConfig, spoken_instructions
from callapp.recording.at_twilio import orders
from callapp.recording.recorder import Recorder
from callapp.recording.tape import Tape
from callapp.settings import Settings, read_variable
from callapp.simulators import stand_in
from callapp.telephony.leg import CallerLeg
from callapp.telephony.media_streams import Started
from callapp.telephony.rest import Carrier
from callapp.telephony.twiml import AGENT_PARAMETER, TOKEN_PARAMETER, Fallback
from callapp.tools import CallContext
from callapp.tools.pool import ToolPool
from callapp.tools.registry import Tools
from callapp.tools.transfer_call import name_destinations


@dataclass(frozen=True)
class CallMaker:
    """What all calls of a process are made with. Safe from any thread.

    Args:
        listeners: are told what happens on each call.
        stand_in: answers browsers where no OpenAI key is set.
    """

    settings: Settings
    tools: Tools
    tool_pool: ToolPool
    carrier: Carrier
    switchboard: Switchboard
    recorder: Recorder
    listeners: tuple[Listener, ...]
    stand_in: stand_in.StandIn

    def bridge(
        self,
        caller: CallerLeg,
        started: Started,
        admission: Admission,
        agent: Agent,
        origin: str,
        away: AwayCall | None = None,
    ) -> Bridge:
        """Make what carries a call.

        Args:
            origin: where Twilio reaches us.
            away: what the call was before, if it has left another process and comes back here.
        """
        custom = {k: v for k, v in started.parameters.items() if k not in (TOKEN_PARAMETER, AGENT_PARAMETER)}
        admission = replace(admission, parameters={**admission.parameters, **custom})
        call_log = call_logger(admission.call_sid)
        endpoint = self._endpoint(admission, agent)
        return Bridge(
            caller,
            self._plan(admission, agent, endpoint, away),
            self._outside(caller, admission, agent, endpoint, origin, away, call_log),
            call_log,
        )

    def apology(
        self, call_sid: str, agent: Agent, parameters: Mapping[str, str], origin: str
    ) -> Callable[[], None] | None:
        """What speaks a last line over the carrier to a phone call that cannot be carried; see `Outside`."""
        # With a closing line in the TwiML, closing the stream is enough: that line is heard.
        if agent.line("closing", parameters) and agent.fallback_number is None:
            return None
        return lambda: self.carrier.apologise(call_sid, agent.language, _fallback(agent, origin))

    def _endpoint(self, admission: Admission, agent: Agent) -> Endpoint:
        """The model; without a key a browser, which costs nobody anything, talks to the stand-in."""
        if self.settings.openai_api_key is None and admission.direction == "browser":
            return Endpoint(self.stand_in.url(), stand_in.MODEL, stand_in.API_KEY)
        return endpoint_of(self.settings, agent.model or self.settings.openai_realtime_model)

    def _plan(self, admission: Admission, agent: Agent, endpoint: Endpoint, away: AwayCall | None) -> Plan:
        greeting = agent.line("greeting", admission.parameters)
        message = agent.line("voicemail", admission.parameters)
        most_usd = self.settings.max_call_cost_usd
        longest_ms = most_ms(self.settings, agent)
        return Plan(
            greeting=spoken_instructions(greeting, agent.language) if greeting else None,
            message=spoken_instructions(message, agent.language) if message else None,
            detects_machines=detection_s(admission, agent) is not None,
            hold_line=hold_line(agent.language),
            most_usd=most_usd,
            usd_of=None if most_usd is None else pricing(endpoint.model, agent.transcriber or ""),
            most_ms=longest_ms if away is None else max(0, longest_ms - away.elapsed_ms),
            session_ms=1000 * self.settings.model_session_seconds,
            manners=_manners(agent),
            ears=_ears(agent),
            transcribed=agent.transcription is not None,
            keys_as_sound=agent.dtmf == "inband",
            resumed=None if away is None else resumed(away),
        )

    def _outside(
        self,
        caller: CallerLeg,
        admission: Admission,
        agent: Agent,
        endpoint: Endpoint,
        origin: str,
        away: AwayCall | None,
        call_log: CallLogger,
    ) -> Outside:
        call_sid = admission.call_sid
        tools = self.tools.only(agent.tools)
        config = _session_config(agent, tools, admission.parameters, call_log)
        context = _context(admission, agent)
        before_ms = 0 if away is None else away.elapsed_ms
        particulars = Particulars.of(
            admission,
            model=endpoint.model,
            transcription_model=agent.transcriber,
            before_ms=before_ms,
            resumed=away is not None,
        )
        in_browser = admission.direction == "browser"  # no phone company has a part in it
        extension = None if in_browser else Extension(self.switchboard, admission, agent, origin, before_ms)
        listeners = self.listeners
        tape = Tape() if agent.record.by == "ours" else None
        if tape is not None:
            listeners = (*listeners, self.recorder.of(tape))
        elif agent.record.by == "twilio" and not in_browser:
            listeners = (*listeners, orders(self.carrier.start_recording, f"{origin}/recording-status"))
        return Outside(
            new_model=lambda: ModelLeg(endpoint, config, call_log),
            run_tool=lambda name, arguments, done: self.tool_pool.submit(
                tools.find(name), arguments, context, done
            ),
            complete_call=caller.close if in_browser else lambda: self.carrier.complete_call(call_sid),
            apologise=None if in_browser else self.apology(call_sid, agent, admission.parameters, origin),
            extension=extension,
            journal=Journal(particulars, listeners, before_ms),
            tape=tape,
        )


def endpoint_of(settings: Settings, model: str) -> Endpoint:
    """A model of OpenAI's; without a key the dial says that there is none."""
    key = settings.openai_api_key
    return Endpoint(settings.openai_realtime_url, model, key.get_secret_value() if key else "")


def _fallback(agent: Agent, origin: str) -> Fallback | None:
    """Who is to take a call that no model can have."""
    if agent.fallback_number is None:
        return None
    return Fallback(agent.fallback_number, f"{origin}/transfer/fallback?agent={quote(agent.name)}")


def detection_s(admission: Admission, agent: Agent) -> int | None:
    """For how long Twilio listens for a machine: to calls that we placed, if the agent wants it."""
    return agent.detection_s if admission.direction == "outgoing" else None


def most_ms(settings: Settings, agent: Agent) -> int:
    """How long a call may last, in milliseconds."""
    return 1000 * min(settings.max_call_seconds, agent.max_call_seconds or settings.max_call_seconds)


def _session_config(
    agent: Agent, tools: Tools, parameters: Mapping[str, str], call_log: CallLogger
) -> SessionConfig:
    return SessionConfig(
        instructions=_instructions(agent, parameters, call_log),
        voice=agent.voice,
        language=agent.language,
        tools=name_destinations(tools.definitions(), tuple(agent.transfer_to)),
        remote_tools=[
            RemoteTools(server, read_variable(server.authorization) if server.authorization else None)
            for server in agent.mcp
        ],
        speed=agent.speed,
        reasoning=agent.reasoning,
        transcription=agent.transcription,
        turn_detection=agent.turn_detection,
        noise_reduction=agent.noise_reduction,
        silence_ms=_service_silence_ms(agent),
    )


def _service_silence_ms(agent: Agent) -> int | None:
    """The silence that the service can break by itself: not with every turn detection, nor of any length."""
    silence_ms = round(agent.idle.nudge_seconds * 1000)
    fits = agent.turn_detection.type == "server_vad" and 5_000 <= silence_ms <= 30_000
    return silence_ms if fits else None


def _instructions(agent: Agent, parameters: Mapping[str, str], call_log: CallLogger) -> str:
    missing = agent.missing(parameters)
    if missing:
        call_log.error("! agent %s: no value for %s, left empty", agent.name, ", ".join(missing))
    return agent.fill(parameters)


def _context(admission: Admission, agent: Agent) -> CallContext:
    return CallContext(
        call_sid=admission.call_sid,
        agent=agent.name,
        parameters=admission.parameters,
        from_number=admission.from_number,
        to_number=admission.to_number,
        direction=admission.direction,
        destinations=tuple(agent.transfer_to),
    )


def _manners(agent: Agent) -> Manners:
    return Manners(
        language=agent.language,
        nudge_ms=agent.idle.nudge_seconds * 1000 or None,
        waiting_lines=agent.waiting,
        shortest_speech_ms=agent.interruptions.min_speech_ms,
        most_interruptions=agent.interruptions.most_in_30_seconds or None,
        noise_line=agent.interruptions.noise_line,
    )


def _ears(agent: Agent) -> Ears:
    turns = agent.turn_detection
    if turns.type == "semantic_vad":  # how long it waits depends on what was said
        return Ears()
    return Ears(turns.prefix_padding_ms, turns.silence_duration_ms)
