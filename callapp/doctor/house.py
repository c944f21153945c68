"""What can be seen without leaving this machine: files, limits, the database, agents and tools."""

from __future__ import annotations

import os
import resource
import shlex
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from contextlib import suppress
from pathlib import Path

from callapp.agents import Agents, load_agents
from callapp.call_log import schema
from callapp.call_log.engine import is_sqlite, parse_url
from callapp.doctor.finding import Finding, fault, ok, warning
from callapp.errors import ConfigError
from callapp.peers.wire import WireLost
from callapp.prices import model_prices, usd_per_minute
from callapp.recording.shelf import Shelf
from callapp.sentences import N_, Quoted
from callapp.settings import Settings
from callapp.tools.registry import load_tools
from callapp.tracing.exporting import traces_wanted
from callapp.webhooks.delivery import webhook_key

# As gunicorn.conf.py has them: threads beyond the calls; a call's sockets and what else it opens.
HTTP_THREADS = 16
FILES_PER_CALL = 4
# A call holds gunicorn's thread and one of its own; tools and the rest of the process need some, too.
THREADS_PER_CALL = 2
OTHER_THREADS = 64
OTHER_FILES = 128

_BEFORE_THE_START = N_("correct it; the server does not start before")


def check_dotenv(path: Path) -> Finding:
    """Whether others on this machine can read the secrets."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return ok(N_("there is no .env here: all settings come from the environment"))
    if mode & 0o077:
        return warning(
            N_("%(path)s can be read by others on this machine", path=path),
            N_("chmod 600 %(path)s", path=path),
        )
    return ok(N_("%(path)s is its owner's alone", path=path))


def check_signatures_wanted(settings: Settings) -> Iterator[Finding]:
    if not settings.twilio_validate_signatures:
        yield warning(
            N_("TWILIO_VALIDATE_SIGNATURES is false, so anybody can pretend to be Twilio"),
            N_("remove it, unless this is an experiment that nobody else can reach"),
        )


def check_api_key(settings: Settings) -> Finding:
    if settings.callapp_api_key is None:
        return warning(
            N_("CALLAPP_API_KEY is not set, so /outgoing-call serves this machine only"),
            N_("set it to a long random text if calls are to be placed from elsewhere"),
        )
    return ok(N_("CALLAPP_API_KEY protects /outgoing-call"))


def check_agents_and_tools(settings: Settings) -> tuple[list[Finding], Agents | None]:
    """Load them as the server does; the agents are returned, too, if they are all right."""
    try:
        tools = load_tools(settings.tools_dir, modules=settings.tools_modules)
        agents = load_agents(settings.agents_dir, settings.default_agent, tools)
    except ConfigError as error:
        return _keeping_from_start(error), None
    named = {"agents": ", ".join(sorted(agents)), "tools": ", ".join(sorted(tools))}
    return [ok(N_("agents: %(agents)s; tools: %(tools)s", **named))], agents


def check_features(settings: Settings, environ: MutableMapping[str, str]) -> Iterator[Finding]:
    """Whether what is wanted besides calls can be had: the server does not start without it either."""
    begins: list[Callable[[], object]] = [lambda: traces_wanted(environ)]
    if settings.webhook_url is not None:
        begins.append(lambda: webhook_key(settings))
    for begin in begins:
        try:
            begin()
        except ConfigError as error:
            yield from _keeping_from_start(error)


def check_recordings(settings: Settings) -> Iterator[Finding]:
    """Whether they can be written, if that is to be on this machine. Nothing is written."""
    if settings.recordings_url is None:
        return
    try:
        folder = Shelf(settings.recordings_url).folder_here
    except ConfigError as error:
        yield from _keeping_from_start(error)
        return
    place = None if folder is None else _nearest_there(folder)
    if place is not None and not _may_write(place):
        yield fault(
            N_("RECORDINGS_URL: %(folder)s cannot be written", folder=place),
            N_("make it writable, or correct RECORDINGS_URL"),
        )


def _keeping_from_start(error: ConfigError) -> list[Finding]:
    return [fault(Quoted(line), _BEFORE_THE_START) for line in error.faults]


def check_prices(settings: Settings, agents: Agents | None) -> Iterator[Finding]:
    """Whether a limit on what a call may cost can hold for every model."""
    if settings.max_call_cost_usd is None:
        return
    unpriced = {model for model in models_in_use(settings, agents) if model_prices(model) is None}
    unpriced |= {model for model in translators_in_use(agents) if usd_per_minute(model) is None}
    for model in sorted(unpriced):
        yield warning(
            N_(
                "the prices of %(model)s are not known, so MAX_CALL_COST_USD does not hold for its calls",
                model=model,
            ),
            N_("add them to callapp/prices.json, or use another model"),
        )


def models_in_use(settings: Settings, agents: Agents | None) -> dict[str, str]:
    """The models that calls may need to talk, and what names each."""
    named = _models_named(agents, translate=False)
    named.pop(settings.openai_realtime_model, None)  # what names it for all agents is told
    return {settings.openai_realtime_model: "OPENAI_REALTIME_MODEL", **named}


def translators_in_use(agents: Agents | None) -> dict[str, str]:
    """The same for those that translate, whose sessions are elsewhere."""
    return _models_named(agents, translate=True)


def _models_named(agents: Agents | None, *, translate: bool) -> dict[str, str]:
    models: dict[str, str] = {}
    for name, agent in (agents or {}).items():
        translates = agent.kind == "interpreter" and agent.engine == "translation"
        if agent.model is not None and translates == translate:
            models.setdefault(agent.model, N_("the field model of agent %(agent)s", agent=name))
    return models


def check_database(database_url: str) -> Finding:
    """Whether it can be used, and has the tables of this version. Nothing is changed in it."""
    try:
        url = parse_url(database_url)
        path = Path(str(url.database)) if is_sqlite(url) else None
        if path is not None and not _is_there(path):
            return _check_place(path)
        revision = schema.revision(database_url)
    except ConfigError as error:
        return fault(Quoted(error.faults[0]), N_("start it, or correct DATABASE_URL"))
    name = "SQLite" if path is not None else "PostgreSQL"
    if revision == schema.head():
        return ok(N_("database: %(name)s, schema %(schema)s", name=name, schema=revision))
    if revision is not None and not schema.known(revision):
        return fault(
            N_(
                "database: %(name)s has schema %(schema)s, of a newer callapp than this one",
                name=name,
                schema=revision,
            ),
            N_("install that version, or give this one another DATABASE_URL"),
        )
    known = revision or N_("none yet")
    if path is not None:
        return ok(
            N_("database: %(name)s, schema %(schema)s; the next start upgrades it", name=name, schema=known)
        )
    return fault(
        N_(
            "database: %(name)s has schema %(schema)s, this version needs %(wanted)s",
            name=name,
            schema=known,
            wanted=schema.head(),
        ),
        N_("run `flask db upgrade`"),
    )


def check_redis(settings: Settings) -> Iterator[Finding]:
    """Whether the Redis answers, if there is to be one."""
    if settings.redis_url is None:
        return
    from callapp.peers.redis import Redis  # here: see peers/in_common.py

    try:
        Redis(settings.redis_url).listener(("callapp_doctor",)).close()
    except WireLost as error:
        yield fault(Quoted(f"REDIS_URL: {error}"), N_("start it, or correct REDIS_URL"))
        return
    yield ok(N_("Redis: answers"))


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except PermissionError:  # its folder may not be looked into
        return False


def _nearest_there(folder: Path) -> Path:
    """The folder, or what there is of the way to it."""
    return next(place for place in (folder, *folder.parents) if _is_there(place))


def _may_write(folder: Path) -> bool:
    return os.access(folder, os.W_OK | os.X_OK)


def _check_place(path: Path) -> Finding:
    folder = _nearest_there(path.absolute().parent)
    if _may_write(folder):
        return ok(N_("database: SQLite, %(path)s is made at the first start", path=path))
    return fault(
        N_("database: %(folder)s cannot be written", folder=folder),
        N_("make it writable, or set DATABASE_URL"),
    )


def check_threads(settings: Settings, environ: Mapping[str, str]) -> Finding:
    """Whether every call gets its threads: from gunicorn, and from the system."""
    calls, workers = settings.max_concurrent_calls, settings.web_concurrency
    threads = calls + HTTP_THREADS
    try:
        arguments = shlex.split(environ.get("GUNICORN_CMD_ARGS", ""))
    except ValueError as error:
        return fault(Quoted(f"GUNICORN_CMD_ARGS: {error}"), _BEFORE_THE_START)
    given = _gunicorn_option(arguments, "--threads")
    if given is not None and (not given.isdigit() or int(given) < threads):
        return fault(
            N_(
                "GUNICORN_CMD_ARGS gives gunicorn %(given)s threads, %(calls)s calls need %(threads)s",
                given=given,
                calls=calls,
                threads=threads,
            ),
            N_("take --threads out of it; gunicorn.conf.py sets them"),
        )
    kind = _gunicorn_option(arguments, "--worker-class", "-k")
    if kind not in (None, "gthread"):
        return fault(
            N_("GUNICORN_CMD_ARGS asks for %(kind)s workers", kind=kind),
            N_("take it out; gunicorn.conf.py asks for gthread"),
        )
    wanted = workers * (calls * THREADS_PER_CALL + OTHER_THREADS)
    most = _most_threads()
    if most is not None and most < wanted:
        return warning(
            N_(
                "%(workers)s × %(calls)s calls may need %(wanted)s threads, the system allows %(most)s",
                workers=workers,
                calls=calls,
                wanted=wanted,
                most=most,
            ),
            N_("lower MAX_CONCURRENT_CALLS, or raise the limit (ulimit -u, pids.max of the container)"),
        )
    return ok(
        N_(
            "threads: %(threads)s in each of %(workers)s worker(s), for %(calls)s calls",
            threads=threads,
            workers=workers,
            calls=calls,
        )
    )


def check_files(settings: Settings) -> Finding:
    """Whether every call can open its sockets. gunicorn.conf.py raises the soft limit by itself."""
    wanted = settings.max_concurrent_calls * FILES_PER_CALL + OTHER_FILES
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard != resource.RLIM_INFINITY and hard < wanted:
        return fault(
            N_(
                "%(calls)s calls need %(wanted)s open files, the limit is %(hard)s",
                calls=settings.max_concurrent_calls,
                wanted=wanted,
                hard=hard,
            ),
            N_("lower MAX_CONCURRENT_CALLS, or raise the hard limit (ulimit -Hn, LimitNOFILE= of systemd)"),
        )
    allowed = N_("any number") if hard == resource.RLIM_INFINITY else hard
    return ok(N_("open files: %(wanted)s wanted, %(allowed)s allowed", wanted=wanted, allowed=allowed))


def _gunicorn_option(words: list[str], *names: str) -> str | None:
    """What the environment tells gunicorn over the head of gunicorn.conf.py."""
    for position, word in enumerate(words):
        name, equals, value = word.partition("=")
        if name in names:
            return value if equals else next(iter(words[position + 1 :]), "")
    return None


def _most_threads() -> int | None:
    """How many threads this user, or this container, may have; None for as many as it likes."""
    limits = []
    # The limit of a user does not hold for root.
    if os.geteuid() != 0 and hasattr(resource, "RLIMIT_NPROC"):
        soft = resource.getrlimit(resource.RLIMIT_NPROC)[0]
        limits += [] if soft == resource.RLIM_INFINITY else [soft]
    with suppress(OSError, ValueError):  # "max", or no Linux
        limits.append(int(Path("/sys/fs/cgroup/pids.max").read_text()))
    return min(limits, default=None)
