"""Metrics for Prometheus, never labelled with ids, names or anything people said."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from fastapi.routing import APIRoute
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from recountdb.projections.followers.follower import Lag

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
BUCKETS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)


def template(scope: Mapping[str, Any]) -> str:
    """Return the pattern of the route that a request came to, or ``none``."""
    route: APIRoute | None = scope.get("route")
    return "none" if route is None else route.path


class Metrics:
    """The metrics of a server process. If several run, the metrics of all are shown together."""

    def __init__(self, *, is_multiprocess: bool = False) -> None:
        self._is_multiprocess = is_multiprocess
        registry = self._registry = CollectorRegistry()
        self.requests = Counter(
            "recount_http_requests",
            "Requests answered",
            ["method", "route", "status"],
            registry=registry,
        )
        self.request_seconds = Histogram(
            "recount_http_request_seconds",
            "Time to the last byte of the answer",
            ["method", "route"],
            buckets=BUCKETS,
            registry=registry,
        )
        self.events_recorded = Counter(
            "recount_events_recorded", "Events that requests recorded", registry=registry
        )
        self.settled_position = Gauge(
            "recount_settled_position",
            "Position in the log up to which all events can be read",
            registry=registry,
            multiprocess_mode="max",
        )
        self.clock_difference_seconds = Gauge(
            "recount_clock_difference_seconds",
            "How far this machine's clock is ahead of the database's",
            registry=registry,
            multiprocess_mode="mostrecent",
        )

        self.follower_lag_events = _follower_gauge(
            "recount_follower_lag_events", "Positions in the log that a follower is behind", registry
        )
        self.follower_lag_seconds = _follower_gauge(
            "recount_follower_lag_seconds", "Age of the first event that a follower has not handled", registry
        )
        self.follower_parked_streams = _follower_gauge(
            "recount_follower_parked_streams", "Streams with an event that it could not handle", registry
        )

    def show_lags(self, lags: Iterable[Lag]) -> None:
        for lag in lags:
            self.follower_lag_events.labels(lag.follower).set(lag.events)
            self.follower_lag_seconds.labels(lag.follower).set(lag.seconds)
            self.follower_parked_streams.labels(lag.follower).set(lag.parked_streams)

    def observe(self, scope: Mapping[str, Any], status: int, seconds: float) -> None:
        route = template(scope)
        method = scope["method"] if route != "none" and scope["method"] in METHODS else "any"
        self.requests.labels(method, route, status).inc()
        self.request_seconds.labels(method, route).observe(seconds)

    def exposition(self) -> bytes:
        """Return the metrics in the text format of Prometheus."""
        if not self._is_multiprocess:
            return generate_latest(self._registry)
        everyone = CollectorRegistry()
        MultiProcessCollector(everyone)  # type: ignore[no-untyped-call]
        return generate_latest(everyone)


def _follower_gauge(name: str, meaning: str, registry: CollectorRegistry) -> Gauge:
    """Return a gauge labelled by follower. Every process knows all followers, so the latest value counts."""
    return Gauge(name, meaning, ["follower"], registry=registry, multiprocess_mode="mostrecent")
