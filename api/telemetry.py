"""Tracing with OpenTelemetry, if RECOUNT_OTEL asks for it: the exporter, and the span of each request."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from typing import TYPE_CHECKING

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Span, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from recountdb.api.http.metrics import METHODS, template
from recountdb.api.settings.errors import SettingsInvalid
from recountdb.eventlog import tracing

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter

NAME = "recount"
DISTRIBUTION = "recountdb"
FLUSH_SECONDS = 3
"""How long the last spans may take to be sent when the server ends."""


def make_exporter() -> SpanExporter:
    """Return the exporter of spans that OpenTelemetry's own variables choose. Raises SettingsInvalid."""
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    except ImportError:
        raise SettingsInvalid("RECOUNT_OTEL needs more packages: pip install 'recountdb[otel]'") from None
    return OTLPSpanExporter()


@contextmanager
def record_spans() -> Iterator[None]:
    """Make spans for as long as the block runs. Raises SettingsInvalid.

    The spans go to the tracer provider of this process if one is set up, as ``opentelemetry-instrument``
    does.
    """
    tracer, close = _open_tracer()
    tracing.start(tracer)
    try:
        yield
    finally:
        tracing.stop()
        close()


def _open_tracer() -> tuple[trace.Tracer, Callable[[], None]]:
    """Return a tracer, and a function that sends its last spans and closes it."""
    exporter = make_exporter()  # also tells whether the packages are installed
    from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    configured = trace.get_tracer_provider()
    if isinstance(configured, TracerProvider):
        return configured.get_tracer(NAME, version(DISTRIBUTION)), lambda: None
    resource = Resource.create({SERVICE_VERSION: version(DISTRIBUTION)})
    if str(resource.attributes[SERVICE_NAME]).startswith("unknown_service"):
        resource = resource.merge(Resource({SERVICE_NAME: NAME}))
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    return provider.get_tracer(NAME, version(DISTRIBUTION)), lambda: _shut_down(provider.shutdown)


def _shut_down(shutdown: Callable[[], None]) -> None:
    """Send the last spans, without waiting for ever for a collector that does not answer."""
    closing = threading.Thread(target=shutdown, name="recount-telemetry", daemon=True)
    closing.start()
    closing.join(FLUSH_SECONDS)


class RequestSpans:
    """Middleware that makes a span of each request, named by the pattern of its route, not by its address.

    The only header it reads is ``traceparent``: the other headers of traces (``tracestate``, ``baggage``)
    carry anything a caller likes.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self._propagator = TraceContextTextMapPropagator()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        method = scope["method"] if scope["method"] in METHODS else "_OTHER"
        with tracing.server_span(method, self._parent(scope)) as span:
            span.set_attribute("http.request.method", method)

            async def answer(message: Message) -> None:
                if message["type"] == "http.response.start":
                    _note_status(span, message["status"])
                await send(message)

            try:
                await self.app(scope, receive, answer)
            finally:
                _note_route(span, method, template(scope))

    def _parent(self, scope: Scope) -> Context:
        found = [value for name, value in scope["headers"] if name == b"traceparent"]
        carrier = {"traceparent": found[0].decode("latin-1")} if found else {}
        return self._propagator.extract(carrier, context=Context())


def _note_status(span: Span, status: int) -> None:
    span.set_attribute("http.response.status_code", status)
    if status >= 500:
        span.set_attribute("error.type", str(status))
        span.set_status(StatusCode.ERROR)


def _note_route(span: Span, method: str, route: str) -> None:
    if route != "none":
        span.set_attribute("http.route", route)
        span.update_name(f"{method} {route}")
