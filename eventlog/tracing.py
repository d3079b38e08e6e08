"""Spans of OpenTelemetry, for those who ask for them; everybody else pays for one comparison.

A span says what was done, how long it took and how it failed. Its attributes are counts and names from
this program: never an id, a name, a key or a word of anybody's, and of an error the class only.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, Span, SpanContext, SpanKind, StatusCode, Tracer

_NOTHING = nullcontext(trace.INVALID_SPAN)
_tracer: Tracer | None = None


def start(tracer: Tracer) -> None:
    """Make spans with ``tracer`` from now on, in all threads of this process."""
    global _tracer
    _tracer = tracer


def stop() -> None:
    """Make no more spans."""
    global _tracer
    _tracer = None


def span(
    name: str, *, causes: Sequence[SpanContext | None] = (), **attributes: Any
) -> AbstractContextManager[Span]:
    """Measure a block as a span within the one under way, linked to ``causes`` of other threads.

    An attribute is a number, a text, or a function or class, which stands for its name.
    """
    return _NOTHING if _tracer is None else _measure(_tracer, name, causes, attributes)


def server_span(name: str, parent: Context, **attributes: Any) -> AbstractContextManager[Span]:
    """Measure a block as the span of a request from elsewhere."""
    if _tracer is None:
        return _NOTHING
    return _measure(_tracer, name, (), attributes, kind=SpanKind.SERVER, parent=parent)


def current() -> SpanContext | None:
    """Return an object that another thread can link its span to; None when nothing is traced."""
    return None if _tracer is None else trace.get_current_span().get_span_context()


@contextmanager
def _measure(
    tracer: Tracer,
    name: str,
    causes: Sequence[SpanContext | None],
    attributes: dict[str, Any],
    *,
    kind: SpanKind = SpanKind.INTERNAL,
    parent: Context | None = None,
) -> Iterator[Span]:
    with tracer.start_as_current_span(
        name,
        context=parent,
        kind=kind,
        attributes={f"recount.{key}": _value(value) for key, value in attributes.items()},
        links=[Link(cause) for cause in causes if cause is not None and cause.is_valid],
        record_exception=False,  # its text may quote what people said
        set_status_on_exception=False,
    ) as made:
        try:
            yield made
        except Exception as error:
            made.set_attribute("error.type", type(error).__qualname__)
            made.set_status(StatusCode.ERROR)
            raise


def _value(value: Any) -> int | str:
    if isinstance(value, int | str):
        return value
    name = getattr(value, "__qualname__", type(value).__qualname__)
    return f"{getattr(value, '__module__', '')}.{name}"
