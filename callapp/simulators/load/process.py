"""What a process and its children use, as ``/proc`` tells it. Elsewhere than on Linux it is not known."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")


@dataclass(frozen=True)
class Usage:
    """Of a tree of processes, all together.

    Args:
        cpu_s: CPU seconds since they began, by the scheduler's own nanoseconds.
        memory_kib: their own, in memory or swapped out, without pages of files; shared pages divided.
        resident_kib: in memory, pages of files included.
        switches: context switches since their threads began: of their own accord, and forced.
    """

    cpu_s: float
    memory_kib: int
    resident_kib: int
    threads: int
    switches: tuple[int, int]


def usage_of(root: int) -> Usage | None:
    """Read what a process and its descendants use; None where that cannot be known."""
    if not (_PROC / str(root) / "stat").exists():
        return None
    cpu_s = 0.0
    memory = resident = threads = voluntary = forced = 0
    for pid in _tree(root):
        with suppress(OSError):  # it is gone: what it used is lost
            cpu_s += _cpu_s(pid)
            sizes = _fields(_PROC / str(pid) / "smaps_rollup")
            resident += _kib(sizes, "Pss")
            # Pages of files come and go as the kernel sees fit; what a call costs is not in them.
            memory += _kib(sizes, "Pss_Anon") + _kib(sizes, "SwapPss")
            for task in (_PROC / str(pid) / "task").iterdir():
                with suppress(OSError):
                    status = _fields(task / "status")
                    threads += 1
                    voluntary += int(status["voluntary_ctxt_switches"])
                    forced += int(status["nonvoluntary_ctxt_switches"])
    return Usage(cpu_s, memory, resident, threads, (voluntary, forced))


def _tree(root: int) -> list[int]:
    pids = [root]
    for pid in pids:  # grows as it is walked
        with suppress(OSError):
            for task in (_PROC / str(pid) / "task").iterdir():
                pids += map(int, (task / "children").read_text().split())
    return pids


def _cpu_s(pid: int) -> float:
    # Not from `stat`: its ticks of 10 ms are a tenth of what a small server uses in a short measurement.
    # The clock of another process has this number, as clock_getcpuclockid(3) makes it; 2 is the scheduler's.
    return time.clock_gettime((~pid << 3) | 2)


def _kib(sizes: dict[str, str], name: str) -> int:
    return int(sizes.get(name, "0").split()[0])


def _fields(path: Path) -> dict[str, str]:
    pairs = (line.partition(":") for line in path.read_text().splitlines())
    return {name: value.strip() for name, _, value in pairs}
