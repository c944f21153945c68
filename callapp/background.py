"""What is done about calls behind their backs: webhooks are sent, calls that are over are analysed.

Each kind of work has a thread of its own, so that a slow text model holds up no webhook.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from callapp.agents import Agent
from callapp.analysis.work import Analyst
from callapp.call_log.follow_ups import FollowUps
from callapp.call_log.store import Store
from callapp.prices import TextTokens
from callapp.settings import Settings
from callapp.webhooks.delivery import Webhooks, open_webhooks


class Background:
    """The threads that do jobs, as far as there is anything for them to do."""

    def __init__(self, workers: list[Webhooks | Analyst], follow_ups: FollowUps) -> None:
        self._workers = workers
        self._follow_ups = follow_ups

    def start(self) -> None:
        """Start the threads: jobs of processes that died may be waiting."""
        for worker in self._workers:
            worker.runner.start()
            self._follow_ups.wake.append(worker.runner.nudge)

    def close(self, within_s: float) -> None:
        """End them, each within that time."""
        for worker in self._workers:
            worker.close(within_s)


def open_background(
    settings: Settings,
    agents: Mapping[str, Agent],
    store: Store,
    follow_ups: FollowUps,
    on_outcome: Callable[[str, str], None],
    on_tokens: Callable[[str, TextTokens], None],
) -> Background:
    """What the settings ask for.

    Raises:
        ConfigError: webhooks are to be sent, and there is nothing to sign them with.
    """
    workers: list[Webhooks | Analyst] = []
    webhooks = open_webhooks(settings, store, on_outcome)
    if webhooks is not None:
        workers.append(webhooks)
    if settings.openai_api_key is not None:
        workers.append(Analyst(settings, agents, store, follow_ups, on_outcome, on_tokens))
    return Background(workers, follow_ups)
