"""OpenTelemetry, where RECOUNT_OTEL asks for it: where spans go, and the span of each request."""

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
from recountdb.api.setting_errors import SettingsInvalid
from recountdb.eventlog import tracing

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter

NAME = "recount"
FLUSH_SECONDS = 3
"""How long the last spans may take to leave, when the server ends."""


def make_exporter() -> SpanExporter:
    """Return what sends spans, as OpenTelemetry's own variables say. Raises SettingsInvalid."""
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    except ImportError:
        raise SettingsInvalid("RECOUNT_OTEL needs more packages: pip install 'recount[otel]'") from None
    return OTLPSpanExporter()


@contextmanager
def traced() -> Iterator[None]:
    """Make spans for as long as the block runs. Raises SettingsInvalid.

    They go to the tracer provider of this process if one is set up, as ``opentelemetry-instrument`` does.
    """
    tracer, close = _open_tracer()
    tracing.start(tracer)
    try:
        yield
    finally:
        tracing.stop()
        close()


def _open_tracer() -> tuple[trace.Tracer, Callable[[], None]]:
    """Return a tracer, and what sends its last spans and closes it."""
    exporter = make_exporter()  # which says that the packages are there
    from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    configured = trace.get_tracer_provider()
    if isinstance(configured, TracerProvider):
        return configured.get_tracer(NAME, version(NAME)), lambda: None
    resource = Resource.create({SERVICE_VERSION: version(NAME)})
    if str(resource.attributes[SERVICE_NAME]).startswith("unknown_service"):
        resource = resource.merge(Resource({SERVICE_NAME: NAME}))
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    return provider.get_tracer(NAME, version(NAME)), lambda: _shut_down(provider.shutdown)


def _shut_down(shutdown: Callable[[], None]) -> None:
    """Send the last spans, but do not wait for ever for a collector that is not there."""
    closing = threading.Thread(target=shutdown, name="recount-telemetry", daemon=True)
    closing.start()
    closing.join(FLUSH_SECONDS)


class RequestSpans:
    """Makes a span of each request, with the pattern of its route in place of its address.

    Of the headers it reads ``traceparent`` only: the others that belong to traces (``tracestate``,
    ``baggage``) carry whatever a caller likes.
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
