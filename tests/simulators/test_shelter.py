"""What pretended calls must not leave behind where real ones are looked at."""

from __future__ import annotations

from pathlib import Path

import pytest

from callapp.simulators.shelter import sheltered
from callapp.tracing.exporting import open_traces

COLLECTOR = "OTEL_EXPORTER_OTLP_ENDPOINT"


def test_a_pretended_call_is_not_traced_wherever_the_collector_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(COLLECTOR, "http://127.0.0.1:9")
    dotenv = tmp_path / ".env"
    dotenv.write_text(f"{COLLECTOR}=http://127.0.0.1:9\n")
    environ = sheltered({})
    assert COLLECTOR not in environ
    assert open_traces(environ, dotenv) is None


def test_a_pretended_call_is_not_counted_among_the_real_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    """gunicorn's workers add up their numbers in this folder, for Prometheus."""
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", "/var/run/callapp")
    assert "PROMETHEUS_MULTIPROC_DIR" not in sheltered({})
