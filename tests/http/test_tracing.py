"""OpenTelemetry: the spans there are, and that nothing of anybody's is in them."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from starlette.testclient import TestClient

from recountdb.api.app import create_app
from recountdb.api.services import keys
from recountdb.api.settings import Settings
from recountdb.api.settings.errors import SettingsInvalid
from recountdb.api.telemetry import record_spans
from recountdb.eventlog import tracing
from recountdb.eventlog.postgres.database import Database
from recountdb.projections.followers.follower import measure_lags
from tests.support.http_client import open_client
from tests.support.processes import wait_until

JSON = {"Content-Type": "application/json"}
CANARY = "rosebud"
NAME = f"session-{CANARY}"
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
HEADERS = {
    "User-Agent": f"agent-{CANARY}",
    "Referer": f"https://example.org/{CANARY}",
    "traceparent": f"00-{TRACE}-00f067aa0ba902b7-01",
    "tracestate": f"vendor={CANARY}",
    "baggage": f"user={CANARY}",
    "X-Request-Id": f"request-{CANARY}",
}


@pytest.fixture
def exporter(monkeypatch: pytest.MonkeyPatch) -> InMemorySpanExporter:
    """Where spans go; they are there once the server has ended."""
    exporter = InMemorySpanExporter()
    monkeypatch.setattr("recountdb.api.telemetry.make_exporter", lambda: exporter)
    return exporter


@pytest.fixture
def key(database: Database) -> str:
    return keys.create_key(database, project="default", scopes=["admin", "operator"])[1]


def use_everything(client: TestClient, key: str) -> None:
    """Requests of many kinds, with the canary wherever a caller can put it."""
    bearer = {**HEADERS, "Authorization": f"Bearer {key}"}
    message = {"role": CANARY, "content": CANARY, "name": CANARY, "metadata": {CANARY: CANARY}}
    in_path = f"/key/{key}/v1/sessions/{NAME}"
    assert (
        client.post(f"{in_path}/messages", json={"messages": [message]}, headers=HEADERS).status_code == 201
    )
    assert client.get(f"{in_path}/messages?scope=&limit=5", headers=HEADERS).status_code == 200
    assert client.get(f"/v1/sessions?user_id={CANARY}", headers=bearer).status_code == 200
    assert client.get(f"/v1/audit?actor={CANARY}", headers=bearer).status_code == 200
    assert client.get(f"/v1/sessions/{NAME}?at_version=1", headers=bearer).status_code == 200
    assert client.get(f"/v1/sessions/nobody-{CANARY}", headers=bearer).status_code == 404
    assert client.get(f"/nowhere/{CANARY}?{CANARY}={key}", headers=bearer).status_code == 404
    assert client.get("/v1/sessions", headers={"Authorization": f"Bearer {CANARY}"}).status_code == 401
    invalid = client.post("/v1/sessions", json={"session_id": NAME, CANARY: CANARY}, headers=bearer)
    assert invalid.status_code == 422
    broken = client.post("/v1/sessions", content=f'{{"{CANARY}', headers=bearer | JSON)
    assert broken.status_code == 400
    assert client.request(CANARY.upper(), "/v1/sessions", headers=bearer).status_code == 405
    assert client.delete(f"/v1/sessions/{NAME}", headers=bearer).status_code in (200, 204)


def names(exporter: InMemorySpanExporter) -> set[str]:
    return {span.name for span in exporter.get_finished_spans()}


def named(exporter: InMemorySpanExporter, name: str) -> list[ReadableSpan]:
    return [span for span in exporter.get_finished_spans() if span.name == name]


def within(exporter: InMemorySpanExporter, outer: ReadableSpan) -> list[ReadableSpan]:
    """The spans directly within ``outer``."""
    assert outer.context is not None
    spans = exporter.get_finished_spans()
    return [span for span in spans if span.parent and span.parent.span_id == outer.context.span_id]


def is_caused_by(span: ReadableSpan, cause: ReadableSpan) -> bool:
    assert cause.context is not None
    return cause.context.span_id in {link.context.span_id for link in span.links}


def test_nothing_of_anybodys_is_in_a_span(
    conninfo: str, exporter: InMemorySpanExporter, key: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with open_client(conninfo, otel=True) as client:
        use_everything(client, key)
        metrics = client.get("/metrics").text
    secret = key.split("_", 2)[2]
    spans = exporter.get_finished_spans()
    assert len(spans) > 20
    for text in (*(span.to_json() for span in spans), metrics):
        assert CANARY not in text.lower()
        assert secret not in text
    for span in spans:
        assert span.context is not None
        assert not span.context.trace_state
        assert not span.events, "an exception would be one, with its text"
    ours = [record for record in caplog.records if not record.name.startswith("http")]
    told = " ".join(caplog.handler.format(record) for record in ours)
    assert secret not in told
    assert CANARY not in told


def test_a_request_is_a_span_with_what_was_done_for_it_within(
    conninfo: str, exporter: InMemorySpanExporter, key: str
) -> None:
    with open_client(conninfo, otel=True) as client:
        use_everything(client, key)
    (post,) = named(exporter, "POST /v1/sessions/{session_id}/messages")
    assert post.kind is SpanKind.SERVER
    assert post.context is not None
    assert f"{post.context.trace_id:032x}" == TRACE
    assert post.attributes == {
        "http.request.method": "POST",
        "http.route": "/v1/sessions/{session_id}/messages",
        "http.response.status_code": 201,
    }
    (execute,) = [span for span in within(exporter, post) if span.name == "execute"]
    assert execute.attributes == {"recount.command": "AddMessages"}
    (append,) = [span for span in named(exporter, "append") if is_caused_by(span, execute)]
    assert append.attributes == {"recount.commands": 1, "recount.streams": 1}
    (get,) = named(exporter, "GET /v1/sessions/{session_id}/messages")
    queries = [span for span in within(exporter, get) if span.name == "query"]
    assert "recountdb.projections.views.messages.page_messages" in [
        (span.attributes or {})["recount.function"] for span in queries
    ]
    assert any(name.startswith("_OTHER") for name in names(exporter)), (
        "a method that nobody knows is not named"
    )
    assert "GET" in names(exporter), "nor is an address where nothing is"


def test_followers_make_spans(conninfo: str, exporter: InMemorySpanExporter, database: Database) -> None:
    with open_client(conninfo, otel=True) as client:
        webhook = {"url": "https://hooks.example/recount"}
        assert client.post("/v1/webhooks", json=webhook).status_code == 201
        client.post("/v1/sessions", json={"session_id": NAME})
        wait_until(lambda: all(lag.events == 0 for lag in measure_lags(database)))
    (span, *_) = named(exporter, "follow")
    assert span.attributes is not None
    assert span.attributes.keys() == {"recount.follower", "recount.events"}


def test_what_a_write_folds_is_a_span_within_its_append(
    conninfo: str, exporter: InMemorySpanExporter
) -> None:
    message = {"messages": [{"role": "user", "content": CANARY}]}
    for otel in (False, True):  # the second server has to read what the first one wrote
        with open_client(conninfo, otel=otel) as client:
            assert client.post(f"/v1/sessions/{NAME}/messages", json=message).status_code == 201
    (append,) = named(exporter, "append")
    (fold,) = [span for span in within(exporter, append) if span.name == "fold"]
    assert fold.attributes == {"recount.kind": "session"}


def test_an_error_is_its_class(exporter: InMemorySpanExporter) -> None:
    def fail() -> None:
        with tracing.span("append"):
            raise ValueError(CANARY)

    with record_spans(), pytest.raises(ValueError, match=CANARY):
        fail()
    (span,) = exporter.get_finished_spans()
    assert span.attributes == {"error.type": "ValueError"}
    assert span.status.status_code is StatusCode.ERROR
    assert span.status.description is None


def test_without_the_setting_there_are_no_spans(
    conninfo: str, exporter: InMemorySpanExporter, key: str
) -> None:
    with open_client(conninfo) as client:
        use_everything(client, key)
    assert exporter.get_finished_spans() == ()
    assert tracing.span("append") is tracing.span("query", function=len), "nothing is made"


def test_the_extra_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch, conninfo: str) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    app = create_app(Settings(otel=True), conninfo)
    with pytest.raises(SettingsInvalid, match=r"pip install 'recountdb\[otel\]'"), TestClient(app):
        pass


class Collector(BaseHTTPRequestHandler):
    """Takes what a server sends to an OpenTelemetry collector."""

    received: list[tuple[str, bytes]]

    def do_POST(self) -> None:
        self.received.append((self.path, self.rfile.read(int(self.headers["content-length"]))))
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Keep quiet."""


@pytest.fixture
def collector() -> Iterator[tuple[str, list[tuple[str, bytes]]]]:
    received: list[tuple[str, bytes]] = []
    handler = type("TestCollector", (Collector,), {"received": received})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", received
        server.shutdown()
        thread.join()


def test_spans_arrive_at_a_collector(
    conninfo: str, key: str, collector: tuple[str, list[tuple[str, bytes]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    address, received = collector
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", address)
    with open_client(conninfo, otel=True) as client:
        use_everything(client, key)
    assert {path for path, _ in received} == {"/v1/traces"}
    sent = b"".join(body for _, body in received)
    assert b"/v1/sessions/{session_id}/messages" in sent
    assert CANARY.encode() not in sent
    assert key.encode() not in sent


FOREIGN_SDK = """
import sys
from opentelemetry import _logs, metrics, trace
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

spans, logs, reader = InMemorySpanExporter(), InMemoryLogRecordExporter(), InMemoryMetricReader()
tracers = TracerProvider()
tracers.add_span_processor(SimpleSpanProcessor(spans))
trace.set_tracer_provider(tracers)
loggers = LoggerProvider()
loggers.add_log_record_processor(SimpleLogRecordProcessor(logs))
_logs.set_logger_provider(loggers)
metrics.set_meter_provider(MeterProvider(metric_readers=[reader]))

from tests.http.conftest import open_client
from tests.http.test_tracing import use_everything

conninfo, key, otel = sys.argv[1:]
with open_client(conninfo, otel=otel == "on") as client:
    use_everything(client, key)
tracers.force_flush()
print(len(spans.get_finished_spans()))
for span in spans.get_finished_spans():
    print(span.to_json(indent=None))
print(reader.get_metrics_data())
print(logs.get_finished_logs())
"""


@pytest.mark.parametrize("otel", [pytest.param("off", marks=pytest.mark.thorough), "on"])
def test_an_sdk_that_somebody_else_set_up_is_shown_nothing_either(conninfo: str, key: str, otel: str) -> None:
    command = [sys.executable, "-W", "ignore", "-c", FOREIGN_SDK, conninfo, key, otel]
    environment = os.environ | {"FASTAPI_OTEL_AUTO_CONFIGURE": "true", "OTEL_SDK_DISABLED": ""}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    count, _, rest = done.stdout.partition("\n")
    assert (int(count) > 20) is (otel == "on")
    assert CANARY not in rest.lower()
    assert key.split("_", 2)[2] not in rest
    assert "http.server.request.duration" not in rest
