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
        at_s: when it was read, by ``perf_counter``.
        memory_kib: their own, in memory or swapped out, without pages of files; shared pages divided.
        resident_kib: in memory, pages of files included.
        switches: context switches since their threads began: of their own accord, and forced.
    """

    at_s: float
    memory_kib: int
    resident_kib: int
    threads: int
    switches: tuple[int, int]


def usage_of(root: int) -> Usage | None:
    """Read what a process and its descendants use; None where that cannot be known.

    Takes tens of milliseconds when they have many threads, and holds them up meanwhile.
    """
    if not (_PROC / str(root) / "stat").exists():
        return None
    memory = resident = threads = voluntary = forced = 0
    for pid in processes_of(root):
        with suppress(OSError):  # it is gone: what it used is lost
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
    return Usage(time.perf_counter(), memory, resident, threads, (voluntary, forced))


def processes_of(root: int) -> list[int]:
    """Return a process and its descendants."""
    pids = [root]
    for pid in pids:  # grows as it is walked
        with suppress(OSError):
            for task in (_PROC / str(pid) / "task").iterdir():
                pids += map(int, (task / "children").read_text().split())
    return pids


def cpu_s_of(pids: list[int]) -> float:
    """Return the CPU seconds of these processes since they began; none of one that is gone. Costs nothing.

    By the scheduler's own nanoseconds, not the ticks of 10 ms in `stat`: those are a tenth of what a small
    server uses in a short measurement. Only on Linux.
    """
    cpu_s = 0.0
    for pid in pids:
        with suppress(OSError):
            # The clock of another process has this number, as clock_getcpuclockid(3) makes it; 2 is the
            # scheduler's.
            cpu_s += time.clock_gettime((~pid << 3) | 2)
    return cpu_s


def memory_kib_of(pids: list[int]) -> int:
    """Return what these processes have in memory of their own. Costs next to nothing.

    What they share after a fork counts for each, so it is the difference of two looks that says something.
    """
    kib = 0
    for pid in pids:
        with suppress(OSError):  # as above
            kib += _kib(_fields(_PROC / str(pid) / "status"), "RssAnon")
    return kib


def _kib(sizes: dict[str, str], name: str) -> int:
    return int(sizes.get(name, "0").split()[0])


def _fields(path: Path) -> dict[str, str]:
    pairs = (line.partition(":") for line in path.read_text().splitlines())
    return {name: value.strip() for name, _, value in pairs}
