"""A collector of traces on loopback: a real HTTP server that takes OTLP and nothing else."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)


@dataclass(frozen=True)
class Span:
    """A span as it came over the wire."""

    name: str
    id: bytes
    parent_id: bytes
    trace_id: bytes
    kind: int
    start_ms: int
    end_ms: int
    attributes: dict[str, Any]
    events: dict[str, dict[str, Any]]
    failed: bool
    resource: dict[str, Any]


class Collector:
    """Keeps all spans that it is sent."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.headers: list[dict[str, str]] = []
        self._changed = threading.Condition()
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                assert self.path == "/v1/traces"
                assert self.headers["content-type"] == "application/x-protobuf"
                if self.headers.get("content-encoding") == "gzip":
                    body = gzip.decompress(body)
                collector._take(ExportTraceServiceRequest.FromString(body), dict(self.headers.items()))
                answer = ExportTraceServiceResponse().SerializeToString()
                self.send_response(200)
                self.send_header("content-type", "application/x-protobuf")
                self.send_header("content-length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def _take(self, request: ExportTraceServiceRequest, headers: dict[str, str]) -> None:
        with self._changed:
            self.headers.append(headers)
            for group in request.resource_spans:
                resource = _values(group.resource.attributes)
                for scope in group.scope_spans:
                    self.spans += [_span(span, resource) for span in scope.spans]
            self._changed.notify_all()

    def wait_for(self, count: int, timeout: float = 20.0) -> list[Span]:
        """Wait for so many spans; return all, in the order in which they began."""
        with self._changed:
            there = self._changed.wait_for(lambda: len(self.spans) >= count, timeout)
            assert there, [span.name for span in self.spans]
            return sorted(self.spans, key=lambda span: (span.start_ms, -span.end_ms))

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)


def _span(span: Any, resource: dict[str, Any]) -> Span:
    return Span(
        name=span.name,
        id=span.span_id,
        parent_id=span.parent_span_id,
        trace_id=span.trace_id,
        kind=span.kind,
        start_ms=round(span.start_time_unix_nano / 1e6),
        end_ms=round(span.end_time_unix_nano / 1e6),
        attributes=_values(span.attributes),
        events={event.name: _values(event.attributes) for event in span.events},
        failed=span.status.code == 2,
        resource=resource,
    )


def _values(attributes: Iterable[Any]) -> dict[str, Any]:
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in attributes}
