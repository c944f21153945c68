"""What the app is made of, in one place; web code gets everything from here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from flask import current_app

from callapp.agents import Agents
from callapp.call.journal import Listener
from callapp.call.registry import Registry
from callapp.call_log.store import Store
from callapp.settings import Settings
from callapp.telephony.rest import Carrier
from callapp.tools.pool import ToolPool
from callapp.tools.registry import Tools
from callapp.web.rate_limits import RateLimits


@dataclass(frozen=True)
class Services:
    """One app's parts. Plain objects: threads get these, never ``request`` or ``current_app``."""

    settings: Settings
    agents: Agents
    tools: Tools
    tool_pool: ToolPool
    store: Store
    carrier: Carrier
    registry: Registry
    rate_limits: RateLimits
    listeners: tuple[Listener, ...] = ()

    def close(self) -> None:
        """End live calls and give back all threads and connections."""
        self.registry.close()
        self.tool_pool.close()
        self.carrier.close()
        self.store.close()


def services() -> Services:
    """The parts of the app that serves the current request."""
    return cast(Services, current_app.extensions["callapp"])
