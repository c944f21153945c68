"""Read agents from their files: the built-in ones, and the user's.

All that is wrong, in any file, is told at once, each fault with its file and line.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from callapp.agents.agent_file import AgentFile
from callapp.agents.faults import expected
from callapp.agents.model import Agent
from callapp.errors import ConfigError
from callapp.tools.registry import BUILT_IN_NAMES

BUILT_IN_DIR = Path(__file__).parent


class Agents(Mapping[str, Agent]):
    """Agents by name.

    Args:
        default: the name of the one that takes calls which name none.
    """

    def __init__(self, agents: Mapping[str, Agent], default: str) -> None:
        self._agents = dict(agents)
        self._default = default

    def __getitem__(self, name: str) -> Agent:
        return self._agents[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._agents)

    def __len__(self) -> int:
        return len(self._agents)

    @property
    def default(self) -> Agent:
        """The agent of calls that name none."""
        return self[self._default]

    def of_number(self, number: str) -> Agent | None:
        """The agent that answers calls to this number of ours, if one claims it."""
        return next((agent for agent in self.values() if number in agent.numbers), None)


def load_agents(
    agents_dir: Path | None = None,
    default_agent: str = "operator",
    tools: Collection[str] = BUILT_IN_NAMES,
) -> Agents:
    """Read the built-in agents and the user's.

    Args:
        agents_dir: the user's folder; an agent in it replaces a built-in one of the same name.
        tools: the names of the tools that there are.

    Raises:
        ConfigError: one fault for each thing that is wrong in any file.
    """
    faults: list[str] = []
    paths = _files(BUILT_IN_DIR)
    if agents_dir is not None:
        if agents_dir.is_dir():
            paths |= _files(agents_dir)
        else:
            faults.append(f"AGENTS_DIR: {str(agents_dir)!r} is not a folder; expected one with *.md files")
    agents: dict[str, Agent] = {}
    claims: dict[str, str] = {}
    for name, path in paths.items():
        try:
            file = AgentFile(path, tools)
        except ConfigError as error:
            faults += error.faults
        else:
            agents[name] = file.agent
            faults += file.claim_numbers(claims)
    if default_agent not in paths:
        faults.append(f"DEFAULT_AGENT: there is no agent {default_agent!r}; {expected(default_agent, paths)}")
    if faults:
        raise ConfigError(faults)
    return Agents(agents, default_agent)


def _files(folder: Path) -> dict[str, Path]:
    """The agent files of a folder by agent name; a README among them is not one.

    Nor is what is hidden: Emacs puts ``.#shop.md`` beside a file that is being edited, macOS ``._shop.md``.
    """
    paths = sorted(path for path in folder.glob("*.md") if not path.name.startswith("."))
    return {path.stem: path for path in paths if path.stem.lower() != "readme"}
