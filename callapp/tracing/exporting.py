"""Whether traces are wanted, and the SDK that sends them: by OTLP over HTTP, on a thread of its own.

The variables are OpenTelemetry's, and read by its SDK:
https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/
"""

from __future__ import annotations

import re
from collections.abc import MutableMapping
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING

from dotenv import dotenv_values

from callapp.errors import ConfigError
from callapp.version import VERSION

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_PROTOCOL = "http/protobuf"
_HEADERS = ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS")
# As the SDK takes it; what it does not take it would leave out, and write to the log, key and all.
_HEADER = re.compile(r"\s*[!#$%&'*+.^_`|~0-9A-Za-z-]+\s*=[ !#-+\--:<-\[\]-~]*\s*")


class Traces:
    """What makes spans of facts, and sends them. ``reader`` is for the relay."""

    def __init__(self, provider: TracerProvider) -> None:
        from callapp.tracing.spans import Tracing

        self._provider = provider
        self.reader = Tracing(provider.get_tracer("callapp", VERSION))

    def close(self, within_s: float) -> None:
        """Send what waits; give up after a time, for whoever collects traces may be away."""
        thread = Thread(target=self._provider.shutdown, name="traces-end", daemon=True)
        thread.start()
        thread.join(within_s)


def open_traces(environ: MutableMapping[str, str], dotenv: str | Path = ".env") -> Traces | None:
    """Begin to trace, if the variables ask for it; ``None`` if they do not.

    Raises:
        ConfigError: as ``traces_wanted``, or the SDK can make nothing of one of its variables.
    """
    if not traces_wanted(environ, dotenv):
        return None
    try:
        return Traces(_provider())
    except ValueError as error:
        raise ConfigError([f"a variable of OpenTelemetry's, OTEL_…, is wrong: {error}"]) from error


def traces_wanted(environ: MutableMapping[str, str], dotenv: str | Path = ".env") -> bool:
    """Whether the variables ask for traces.

    Those of ``.env`` are put into the environment, where the SDK looks for them.

    Raises:
        ConfigError: they ask for a way of sending traces that there is not, or with headers that are none.
    """
    for name, value in dotenv_values(dotenv).items():
        if name.startswith("OTEL_") and value:
            environ.setdefault(name, value)
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    exporters = [name.strip() for name in environ.get("OTEL_TRACES_EXPORTER", "").split(",") if name.strip()]
    if not any(environ.get(name) for name in _ENDPOINTS) or exporters == ["none"]:
        return False
    faults = []
    if exporters not in ([], ["otlp"]):
        faults.append(f"OTEL_TRACES_EXPORTER: read {','.join(exporters)!r}, expected otlp or none")
    protocol = next((name for name in _PROTOCOLS if environ.get(name)), None)
    if protocol is not None and environ[protocol] != _PROTOCOL:
        faults.append(f"{protocol}: read {environ[protocol]!r}, expected {_PROTOCOL}")
    for name in _HEADERS:
        headers = environ.get(name, "")
        if not all(_HEADER.fullmatch(header) for header in headers.split(",") if header.strip()):
            faults.append(
                f"{name}: read a value of {len(headers)} characters, not shown, expected name=value, several "
                "separated by commas"
            )
    if faults:
        raise ConfigError(faults)
    return True


def _provider() -> TracerProvider:
    """What makes spans and sends them, as the variables say."""
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    resource = Resource.create()
    # What the operator says of the service goes before what we say of it.
    if str(resource.attributes.get("service.name", "")).startswith("unknown_service"):
        resource = resource.merge(Resource({"service.name": "callapp"}))
    if "service.version" not in resource.attributes:
        resource = resource.merge(Resource({"service.version": VERSION}))
    provider = TracerProvider(resource=resource)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider
