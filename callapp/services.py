"""What the app is made of, in one place; web code gets everything from here."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import cast

from flask import current_app

from callapp.agents import Agents
from callapp.background import Background
from callapp.call.journal import Listener
from callapp.call.liaison import Liaison
from callapp.call.making import CallMaker
from callapp.call.pairs import Pairs
from callapp.call.registry import Registry
from callapp.call.relay import Relay
from callapp.call.switchboard import Switchboard
from callapp.call.verdicts import Verdicts
from callapp.call_log.follow_ups import FollowUps
from callapp.call_log.later import Later
from callapp.call_log.record import Record
from callapp.call_log.settling import Settler
from callapp.call_log.store import Store
from callapp.metrics.meter import Meter
from callapp.recording.bench import Bench
from callapp.recording.recorder import Recorder
from callapp.recording.shelf import Shelf
from callapp.settings import Settings
from callapp.simulators.stand_in import StandIn
from callapp.telephony.rest import Carrier
from callapp.tools.pool import ToolPool
from callapp.tracing.exporting import Traces
from callapp.web.event_streams import EventStreams
from callapp.web.rate_limits import RateLimits

# At the end, so long is waited for the last facts to become numbers, and for traces to be sent.
RELAY_S = 1.0
TRACES_S = 1.0
# And for a job that is being done; it is done again by another process if it takes longer.
BACKGROUND_S = 0.5


@dataclass(frozen=True)
class Services:
    """One app's parts. Plain objects: threads get these, never ``request`` or ``current_app``."""

    settings: Settings
    agents: Agents
    tool_pool: ToolPool
    store: Store
    carrier: Carrier
    switchboard: Switchboard
    maker: CallMaker
    registry: Registry
    liaison: Liaison
    verdicts: Verdicts
    rate_limits: RateLimits
    meter: Meter
    relay: Relay
    record: Record
    settler: Settler
    follow_ups: FollowUps
    background: Background
    shelf: Shelf
    bench: Bench
    recorder: Recorder
    traces: Traces | None
    listeners: tuple[Listener, ...]
    stand_in: StandIn
    pairs: Pairs
    later: Later
    event_streams: EventStreams = field(default_factory=EventStreams)

    def start(self, *, settling: bool, background: bool) -> None:
        """Start the threads that calls need, and those that look after what is over if they are wanted."""
        self.registry.start()
        self.liaison.start()
        self.relay.start()
        if settling:
            self.settler.start()
        if background:
            self.background.start()
            self.recorder.save_what_was_left_behind()

    def close(self) -> None:
        """End live calls and give back all threads and connections."""
        self.event_streams.close()
        self.registry.close()
        self.liaison.close()
        self.pairs.close()
        self.verdicts.close()
        self.tool_pool.close()
        self.stand_in.close()
        self.settler.close()
        self.carrier.close()
        self.relay.close(RELAY_S)
        self.recorder.close()
        self.record.close()
        self.later.close()
        if self.traces is not None:
            self.traces.close(TRACES_S)
        self.background.close(BACKGROUND_S)
        self.store.close()


def services() -> Services:
    """The parts of the app that serves the current request."""
    return cast(Services, current_app.extensions["callapp"])
