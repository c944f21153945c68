"""What a load says at its end: a dictionary for programs, tables for people."""

from __future__ import annotations

import math
import os
import platform
from pathlib import Path
from statistics import linear_regression
from typing import Any

from rich.console import Console
from rich.table import Table

from callapp.simulators.load.capacity import Capacity
from callapp.simulators.load.process import Usage
from callapp.simulators.load.run import BUSY_SHARE, LATE_MS, Measured, Plan, Second
from callapp.simulators.load.tally import Delays, Tally

_SHARES = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "max": 1.0}

Report = dict[str, Any]


def make_report(
    plan: Plan, measured: Measured, tally: Tally, idle: Usage | None, capacity: Capacity | None = None
) -> Report:
    """Put all that is known into one dictionary; times in milliseconds, unknown values None."""
    report: Report = {
        "machine": _machine(),
        "calls": measured.calls,
        "seconds": round(measured.seconds, 2),
        "deltaMs": plan.delta_ms,
        "workers": plan.workers,
        "tls": plan.tls,
        "delayMs": {"toModel": _delays(measured.to_model), "toPhone": _delays(measured.to_phone)},
        "clearMs": {**_delays(measured.clear), "due": tally.clears_due, "missed": tally.clears_missed}
        | {"staleMessages": tally.stale},
        "loss": {
            "callerChunksSent": tally.chunks_sent,
            "callerChunksLost": tally.chunks_lost,
            "callerChunksRepeated": tally.chunks_twice,
            "agentBytesChecked": tally.agent_bytes,
            "agentBytesLost": tally.agent_bytes_lost,
            "agentDisorder": tally.agent_disorder,
        },
        "callsSeen": {
            "started": tally.started,
            "hungUp": tally.hung_up,
            "dropped": tally.dropped,
            "endedByAgent": tally.ended_by_agent,
            "refused": tally.refused,
            "failed": tally.failed,
            "failures": tally.failures,
            "sessionsLeftOpen": tally.sessions_left,
        },
        "server": _server(measured, idle, plan.call_s),
        "load": {
            "cpuShare": round(measured.own_share, 3),
            "lateMs": _delays(measured.late),
            "bottleneck": measured.bottleneck,
        },
        "series": [
            {
                "calls": second.calls,
                "toModelMs": _delays(second.to_model),
                "toPhoneMs": _delays(second.to_phone),
                "memoryMib": round(second.memory_kib / 1024, 1) or None,
            }
            for second in measured.series
        ],
    }
    if capacity is not None:
        report["capacity"] = _capacity(capacity)
    return report


def _machine() -> Report:
    model = platform.processor() or platform.machine()
    cpus = Path("/proc/cpuinfo")
    if cpus.exists():
        names = [line for line in cpus.read_text().splitlines() if line.startswith("model name")]
        model = names[0].partition(":")[2].strip() if names else model
    return {"cpu": model, "cores": os.cpu_count(), "system": platform.platform(terse=True)} | {
        "python": platform.python_version()
    }


def _delays(delays: Delays) -> Report:
    values = delays.percentiles_ms(*_SHARES.values())
    named = {
        name: None if math.isnan(value) else round(value, 2)
        for name, value in zip(_SHARES, values, strict=True)
    }
    return {**named, "count": len(delays)}


def _server(measured: Measured, idle: Usage | None, call_s: float) -> Report | None:
    before, after, cpu_s = measured.before, measured.after, measured.cpu_s
    if before is None or after is None or cpu_s is None or idle is None or not measured.live_s:
        return None
    calls = max(1, measured.calls)
    live_s = measured.live_s / measured.seconds * (after.at_s - before.at_s)
    voluntary, forced = (
        (now - then) / live_s for now, then in zip(after.switches, before.switches, strict=True)
    )
    return {
        "cpuMsPerCallSecond": round(1000 * cpu_s / measured.live_s, 3),
        "cores": round(cpu_s / measured.seconds, 3),
        "kibPerCall": round((after.memory_kib - idle.memory_kib) / calls, 1),
        "residentMib": round(after.resident_kib / 1024, 1),
        "riseKibPerMinute": _rise(measured.series, call_s),
        "threadsPerCall": round((after.threads - idle.threads) / calls, 2),
        "switchesPerCallSecond": {"voluntary": round(voluntary, 1), "forced": round(forced, 2)},
    }


def _rise(series: list[Second], call_s: float) -> float | None:
    """By how much memory rises in a minute, by the line of least squares through the second half.

    Not known where calls are younger then than they will be: what is said in them still adds up.
    """
    if len(series) < 2 * max(call_s, 1):
        return None
    half = [float(second.memory_kib) for second in series[len(series) // 2 :]]
    return round(60 * linear_regression(range(len(half)), half).slope, 1)


def _capacity(capacity: Capacity) -> Report:
    return {
        "calls": capacity.calls,
        "limitMs": capacity.limit_ms,
        "openEnd": capacity.open_end or None,
        "steps": [
            {
                "calls": step.calls,
                "toModelMs": _delays(step.to_model),
                "toPhoneMs": _delays(step.to_phone),
                "lost": step.lost,
                "clearsMissed": step.missed,
                "stale": step.stale,
                "failed": step.failed,
                "held": step.holds(capacity.limit_ms),
                "loadWasBottleneck": step.bottleneck,
            }
            for step in capacity.steps
        ],
    }


def print_report(report: Report, console: Console) -> None:
    """Print the tables, and what to make of them."""
    machine = report["machine"]
    console.print(
        f"{report['calls']} calls for {report['seconds']:.0f} s, deltas of {report['deltaMs']} ms, on "
        f"{machine['cores']} cores of {machine['cpu']}, Python {machine['python']}"
    )
    delays = Table("ms", "p50", "p95", "p99", "max", "how many")
    for name, values in (
        ("phone to model", report["delayMs"]["toModel"]),
        ("model to phone", report["delayMs"]["toPhone"]),
        ("clear after speech began", report["clearMs"]),
        ("load: chunks sent late by", report["load"]["lateMs"]),
    ):
        delays.add_row(name, *(_number(values[share]) for share in _SHARES), f"{values['count']:,}")
    console.print(delays)
    console.print(_facts(report))
    if "capacity" in report:
        console.print(_steps(report["capacity"]))
    for line in remarks(report):
        console.print(line)


def _facts(report: Report) -> Table:
    facts = Table(show_header=False)
    loss, seen, server = report["loss"], report["callsSeen"], report["server"]
    lost, twice = loss["callerChunksLost"], loss["callerChunksRepeated"]
    facts.add_row("caller's chunks", f"{loss['callerChunksSent']:,} sent, {lost} lost, {twice} repeated")
    checked, gone = loss["agentBytesChecked"], loss["agentBytesLost"]
    facts.add_row(
        "agent's audio", f"{checked:,} bytes checked, {gone} lost, {loss['agentDisorder']} out of order"
    )
    clear = report["clearMs"]
    facts.add_row(
        "interruptions",
        f"{clear['due']}, {clear['missed']} without clear, {clear['staleMessages']} messages after it",
    )
    facts.add_row(
        "calls",
        f"{seen['started']} begun, {seen['hungUp']} hung up, {seen['dropped']} dropped, "
        f"{seen['endedByAgent']} ended by the agent, {seen['refused']} refused, {seen['failed']} failed",
    )
    facts.add_row("sessions left open", str(seen["sessionsLeftOpen"]))
    if server is None:
        facts.add_row("server", "not started here, or no /proc: its use of CPU and memory is not known")
    else:
        switches = server["switchesPerCallSecond"]
        facts.add_row(
            "server's CPU",
            f"{server['cpuMsPerCallSecond']:.2f} ms per call-second, {server['cores']:.2f} cores",
        )
        rise = server["riseKibPerMinute"]
        facts.add_row(
            "server's memory",
            f"{server['kibPerCall']:.0f} KiB per added call, {server['residentMib']:.0f} MiB in all"
            + ("" if rise is None else f", {rise:+.0f} KiB a minute"),
        )
        facts.add_row("server's threads", f"{server['threadsPerCall']:.2f} per added call")
        facts.add_row(
            "context switches",
            f"{switches['voluntary']:.1f} voluntary, {switches['forced']:.1f} forced, per call-second",
        )
    facts.add_row("load's own CPU", f"{report['load']['cpuShare']:.0%} of a core")
    return facts


def _steps(capacity: Report) -> Table:
    steps = Table("calls", "to model p99", "to phone p99", "lost", "clear missed", "stale", "failed", "")
    for step in capacity["steps"]:
        steps.add_row(
            str(step["calls"]),
            _number(step["toModelMs"]["p99"]),
            _number(step["toPhoneMs"]["p99"]),
            *(str(step[name]) for name in ("lost", "clearsMissed", "stale", "failed")),
            "held" if step["held"] else "load was too slow" if step["loadWasBottleneck"] else "failed",
        )
    return steps


def remarks(report: Report) -> list[str]:
    """Say in words what the numbers mean, where they mean something."""
    said: list[str] = []
    if "capacity" in report:
        found = report["capacity"]
        end = f", perhaps more: {found['openEnd']}" if found["openEnd"] else ""
        said.append(
            f"Largest number of calls with p99 below {found['limitMs']:g} ms each way "
            f"and nothing lost: {found['calls']}{end}."
        )
    said += [f"{many} calls failed: {why}" for why, many in report["callsSeen"]["failures"].items()]
    if report["load"]["bottleneck"]:
        said.append(
            f"The load itself was the bottleneck: it used {report['load']['cpuShare']:.0%} of its core (from "
            f"{BUSY_SHARE:.0%} on delays grow), or sent its chunks late (p99 above {LATE_MS:g} ms). "
            "The delays above are not only the server's. Use fewer calls, or let nothing else run here."
        )
    return said


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"
