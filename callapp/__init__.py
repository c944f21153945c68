"""callapp puts an AI on the phone: Twilio on one side, OpenAI's speech-to-speech models on the other."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click
from flask import Flask

from callapp.settings import Settings, load_settings

if TYPE_CHECKING:
    from callapp.agents import Agents

__all__ = ["create_app"]


def create_app(settings: Settings | None = None) -> Flask:
    """Make the app.

    Args:
        settings: read from the environment and ``.env`` when not given.

    Raises:
        ConfigError: a setting, an agent file or a tool file is wrong, or the database cannot be used.
    """
    # Imported here so that `import callapp` alone, as tool files do it, costs next to nothing.
    from callapp.agents import WatchedAgents, load_agents
    from callapp.agents.loader import BUILT_IN_DIR
    from callapp.analysis.work import model_for
    from callapp.background import open_background
    from callapp.call.making import CallMaker
    from callapp.call.registry import Registry
    from callapp.call.relay import Relay
    from callapp.call.switchboard import Switchboard
    from callapp.call.verdicts import Verdicts
    from callapp.call_log import cli, schema
    from callapp.call_log.away import CallsAway
    from callapp.call_log.follow_ups import FollowUps
    from callapp.call_log.record import Record
    from callapp.call_log.settling import Settler
    from callapp.call_log.store import Store
    from callapp.cli import register_commands
    from callapp.logs import configure_logging
    from callapp.metrics.instruments import Instruments
    from callapp.metrics.meter import Meter, Present
    from callapp.office.messages import Messages
    from callapp.office.reservations import Reservations
    from callapp.recording.recorder import Recorder
    from callapp.recording.shelf import Shelf
    from callapp.services import Services
    from callapp.simulators.stand_in import StandIn
    from callapp.telephony.rest import Carrier
    from callapp.tools.pool import ToolPool
    from callapp.tools.registry import load_tools
    from callapp.tracing.exporting import open_traces
    from callapp.web import (
        calls,
        desk,
        health,
        media,
        metrics,
        openapi,
        outgoing,
        patience,
        problems,
        transfers,
        voice,
    )
    from callapp.web.rate_limits import RateLimits
    from callapp.web.urls import apply_proxy_fix

    settings = settings or load_settings()
    configure_logging(settings)
    app = Flask(__name__, static_folder="web/static", template_folder="web/templates")
    app.json.sort_keys = False  # type: ignore[attr-defined]  # answers read in the order that they were made in
    app.config["SOCK_SERVER_OPTIONS"] = media.SOCK_SERVER_OPTIONS

    database_url = settings.database_url or schema.default_url(_instance(app))
    if cli.database_needed():
        schema.prepare(database_url)
    store = Store(database_url)
    tools = load_tools(settings.tools_dir, (Reservations(store), Messages(store)), settings.tools_modules)

    def read_agents() -> Agents:
        return load_agents(settings.agents_dir, settings.default_agent, tools)

    agent_dirs = tuple(folder for folder in (BUILT_IN_DIR, settings.agents_dir) if folder is not None)
    agents = WatchedAgents(read_agents, agent_dirs) if _in_development() else read_agents()
    follow_ups = FollowUps(
        tells=settings.webhook_url is not None,
        analyzes=lambda agent: model_for(settings, agents, agent) is not None,
    )
    record = Record(store, follow_ups)
    carrier = Carrier(settings)
    settler = Settler(store, carrier.call_state, follow_ups)
    shelf = Shelf(settings.recordings_url or str(_instance(app) / "recordings"))
    registry = Registry(settings.max_concurrent_calls, settings.drain_seconds)
    tool_pool = ToolPool()
    present = Present(
        calls_active=lambda: registry.active,
        slots_taken=lambda: registry.taken,
        calls_capacity=registry.max_calls,
        queue_depths={
            "facts": lambda: relay.depth,
            "record": lambda: record.writer.queued,
            "tools": lambda: tool_pool.depth,
        },
        queue_drops={
            "facts": lambda: relay.dropped,
            "record": lambda: record.writer.dropped,
            "tools": lambda: tool_pool.refused,
        },
        writer_lag_s=lambda: record.writer.lag_s,
    )
    meter = Meter(Instruments(), present, tools)
    background = open_background(settings, agents, store, follow_ups, meter.job_done)
    traces = open_traces(os.environ)
    relay = Relay([meter] if traces is None else [meter, traces.reader])
    switchboard = Switchboard(agents, store, CallsAway(store), carrier)
    recorder = Recorder(shelf, record)
    listeners = (relay, record)
    stand_in = StandIn()
    app.extensions["callapp"] = Services(
        settings=settings,
        agents=agents,
        tools=tools,
        tool_pool=tool_pool,
        store=store,
        carrier=carrier,
        switchboard=switchboard,
        maker=CallMaker(settings, tools, tool_pool, carrier, switchboard, recorder, listeners, stand_in),
        registry=registry,
        verdicts=Verdicts(store.find_answered_by),
        rate_limits=RateLimits(settings.rate_limit_per_key, settings.rate_limit_per_callee),
        meter=meter,
        relay=relay,
        record=record,
        settler=settler,
        follow_ups=follow_ups,
        background=background,
        traces=traces,
        shelf=shelf,
        recorder=recorder,
        listeners=listeners,
        stand_in=stand_in,
    )

    registry.start()
    relay.start()
    if cli.database_needed():
        settler.start()
    if _serving():
        background.start()
    for room in (health, metrics, outgoing, calls, openapi, voice, media, transfers):
        app.register_blueprint(room.blueprint)
    desk.register(app, settings, _instance(app))
    problems.register(app)
    patience.register(app)
    register_commands(app)
    apply_proxy_fix(app, settings)
    return app


def _in_development() -> bool:
    """Whether this is ``flask run``, where agents are edited between two calls."""
    context = click.get_current_context(silent=True)
    return context is not None and context.info_name == "run"


def _serving() -> bool:
    """Whether this is a server, and no other ``flask`` command."""
    return click.get_current_context(silent=True) is None or _in_development()


def _instance(app: Flask) -> Path:
    folder = Path(app.instance_path)
    folder.mkdir(parents=True, exist_ok=True)
    return folder
