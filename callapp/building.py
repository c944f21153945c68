"""Makes the app's parts out of its settings: what it keeps, what calls are made of, who is told of them."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

from callapp.agents import Agents, WatchedAgents, load_agents
from callapp.agents.loader import BUILT_IN_DIR
from callapp.analysis.work import model_for
from callapp.background import open_background
from callapp.call.far_pairs import FarPairs
from callapp.call.liaison import Liaison
from callapp.call.making import CallMaker
from callapp.call.pairs import Pairs
from callapp.call.registry import Registry
from callapp.call.relay import Relay
from callapp.call.switchboard import Switchboard
from callapp.call.verdicts import Verdicts
from callapp.call_log import schema
from callapp.call_log.away import CallsAway
from callapp.call_log.follow_ups import FollowUps
from callapp.call_log.later import Later
from callapp.call_log.record import Record
from callapp.call_log.recordings import note_part
from callapp.call_log.settling import Settler
from callapp.call_log.store import Store
from callapp.metrics.instruments import Instruments
from callapp.metrics.meter import Meter, Present
from callapp.office.messages import Messages
from callapp.office.reservations import Reservations
from callapp.peers.exchange import Exchange
from callapp.peers.in_common import wire_in_common
from callapp.recording.bench import Bench
from callapp.recording.recorder import Recorder
from callapp.recording.shelf import Shelf
from callapp.services import Services
from callapp.settings import Settings
from callapp.simulators.stand_in import StandIn
from callapp.telephony.rest import Carrier
from callapp.tools.pool import ToolPool
from callapp.tools.registry import Tools, load_tools
from callapp.tracing.exporting import open_traces
from callapp.web.rate_limits import RateLimits


def build_services(
    settings: Settings, instance: Path, *, in_development: bool, database_needed: bool
) -> Services:
    """Make all parts; none of their threads runs yet.

    Args:
        instance: the folder for what is kept on this machine.
        in_development: agents are edited between two calls.
        database_needed: false for commands that look after the database themselves.

    Raises:
        ConfigError: an agent file or a tool file is wrong, or the database cannot be used.
    """
    # What is kept.
    database_url = settings.database_url or schema.default_url(instance)
    if database_needed:
        schema.prepare(database_url)
    store = Store(database_url)
    shelf = Shelf(settings.recordings_url or str(instance / "recordings"))

    # Who speaks, and what they can do.
    tools = load_tools(settings.tools_dir, (Reservations(store), Messages(store)), settings.tools_modules)
    tool_pool = ToolPool()
    agents = _agents(settings, tools, watched=in_development)

    # What is done about calls behind their backs.
    carrier = Carrier(settings)
    follow_ups = FollowUps(
        tells=settings.webhook_url is not None,
        analyzes=lambda agent: model_for(settings, agents, agent) is not None,
    )
    record = Record(store, follow_ups, shelf.delete, settings.max_call_seconds)
    bench = Bench((shelf.folder_here or instance / "recordings") / "in-progress")
    recorder = Recorder(shelf, bench, record, partial(note_part, store))
    later = Later()

    # Who is told what happens on calls.
    registry = Registry(settings.max_concurrent_calls, settings.drain_seconds)
    meter = Meter(Instruments(), _present(registry, record, later, tool_pool, lambda: relay), tools)
    background = open_background(settings, agents, store, follow_ups, meter.job_done, meter.analysis_asked)
    traces = open_traces(os.environ)
    relay = Relay([meter] if traces is None else [meter, traces.reader])
    listeners = (relay, record)

    # What carries them.
    switchboard = Switchboard(agents, store, CallsAway(store), carrier)
    stand_in = StandIn()
    maker = CallMaker(settings, tools, tool_pool, carrier, switchboard, recorder, listeners, stand_in)

    return Services(
        settings=settings,
        agents=agents,
        tool_pool=tool_pool,
        store=store,
        carrier=carrier,
        switchboard=switchboard,
        maker=maker,
        registry=registry,
        liaison=Liaison(registry, store),
        verdicts=Verdicts(store.find_answered_by),
        rate_limits=RateLimits(settings.rate_limit_per_key, settings.rate_limit_per_callee),
        meter=meter,
        relay=relay,
        record=record,
        settler=Settler(store, carrier.call_state, follow_ups),
        follow_ups=follow_ups,
        background=background,
        traces=traces,
        shelf=shelf,
        bench=bench,
        recorder=recorder,
        later=later,
        listeners=listeners,
        stand_in=stand_in,
        pairs=_pairs(settings, database_url),
    )


def _agents(settings: Settings, tools: Tools, *, watched: bool) -> Agents:
    def read_agents() -> Agents:
        return load_agents(settings.agents_dir, settings.default_agent, tools)

    folders = tuple(folder for folder in (BUILT_IN_DIR, settings.agents_dir) if folder is not None)
    return WatchedAgents(read_agents, folders) if watched else read_agents()


def _pairs(settings: Settings, database_url: str) -> Pairs:
    wire = wire_in_common(settings, database_url)
    return Pairs() if wire is None else FarPairs(Exchange(wire))


def _present(
    registry: Registry, record: Record, later: Later, tool_pool: ToolPool, relay: Callable[[], Relay]
) -> Present:
    """What is asked for at each scrape. The relay is made later: it is one of the meter's sources."""
    return Present(
        calls_active=lambda: registry.active,
        slots_taken=lambda: registry.taken,
        calls_capacity=registry.max_calls,
        queue_depths={
            "facts": lambda: relay().depth,
            "record": lambda: record.queued + later.queued,
            "tools": lambda: tool_pool.depth,
        },
        queue_drops={
            "facts": lambda: relay().dropped,
            "record": lambda: record.dropped + later.dropped,
            "tools": lambda: tool_pool.refused,
        },
        writer_lag_s=lambda: record.lag_s,
    )
