"""Agents: what the AI is, one Markdown file each.

``model`` is an agent as read and ``fields`` what has fields of its own, ``templates`` fills in what is
known of a call. ``loader`` reads the files, each an ``agent_file`` with its ``front_matter`` and its
``faults``; ``watching`` reads them again. The built-in agents are the ``*.md`` files of this folder.
"""

from __future__ import annotations

from callapp.agents.loader import Agents, load_agents
from callapp.agents.model import Agent
from callapp.agents.watching import WatchedAgents

__all__ = ["Agent", "Agents", "WatchedAgents", "load_agents"]
