"""Sending due deliveries: signed, within ten seconds or not at all, in order for each webhook.

One process sends at a time (see projections.followers.leader). If it dies between an answer and recording
it, the event is sent again under the same id. Signatures follow Standard Webhooks.
"""

from __future__ import annotations

import logging
import random
import socket
import ssl
import threading
import time
from collections import Counter
from contextlib import closing, suppress
from datetime import datetime
from functools import cache
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from importlib.metadata import version
from queue import Empty, SimpleQueue

from pydantic_core import to_json
from standardwebhooks import Webhook as Signer

from recountdb.api.background.webhook_addresses import AddressRefused, checked_url, resolved
from recountdb.api.schemas.responses import event_resource
from recountdb.api.shares import Shares
from recountdb.eventlog.postgres.channels import listen
from recountdb.eventlog.postgres.clock import Clock
from recountdb.projections.followers.leader import Lease
from recountdb.projections.followers.webhooks import (
    CHANNEL,
    Attempt,
    Due,
    Lane,
    choose_delay,
    delete_old_deliveries,
    find_due_deliveries,
    record_attempt,
)

ANSWER_SECONDS_MAX = 10.0
LANES = Lane(at_once=40, each=8), Lane(at_once=24, each=2)
"""The lanes, with how many webhooks each sends to at once. Slow webhooks take the second lane, so that they
hold up nobody else."""

SLOW_SECONDS = 2.0  # an attempt that takes longer makes a webhook slow; a quicker one, quick
SLOW_KNOWN_MAX = 10_000  # how many webhooks are remembered as slow
WEIGHT_MAX = 32 * 2**20  # bytes of events that are read at a time
SERVED_MAX = 200  # how many projects' turns are remembered
BYTES_MAX = 128 * 2**20  # bytes of events that are under way
POLL_SECONDS = 0.5  # also how late a retry, and a receiver that is too slow, may be noticed
CLEAN_UP_SECONDS = 600.0

logger = logging.getLogger(__name__)


class Post(threading.Thread):
    """Thread that makes an attempt at a delivery. ``break_off`` ends it early."""

    def __init__(
        self, due: Due, done: SimpleQueue[Post], lead: Lease, *, clock: Clock, allow_private: bool
    ) -> None:
        super().__init__(name="recount-post", daemon=True)
        self.due = due
        self.began = time.monotonic()
        self.attempt = Attempt(None, f"no answer within {ANSWER_SECONDS_MAX:.0f} seconds")
        self._done = done
        self._lead = lead
        self._clock = clock
        self._allow_private = allow_private
        self._socket: socket.socket | None = None

    def run(self) -> None:
        try:
            status = self._send()
            self.attempt = Attempt(status, None if 200 <= status < 300 else refusal(status))
        except AddressRefused as refused:
            self.attempt = Attempt(None, f"the address {refused}")
        except TimeoutError:
            pass
        except (OSError, HTTPException, ValueError) as error:
            self.attempt = Attempt(None, reason_of(error))
        except Exception as error:
            logger.exception("a webhook's event could not be sent")
            self.attempt = Attempt(None, f"a fault of Recount itself ({type(error).__name__})")
        self._done.put(self)
        self._lead.ring()

    def _send(self) -> int:
        """Send the event and return the status of the answer. Its body is not read, no redirect followed."""
        parts = checked_url(self.due.url)
        assert parts.hostname is not None
        family, address = resolved(parts, allow_private=self._allow_private)
        connection = HTTPConnection(parts.hostname, parts.port)
        if parts.scheme == "https":
            connection = HTTPSConnection(parts.hostname, parts.port, context=trust())
        body = to_json(event_resource(self.due.entry))
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        with closing(connection):
            # A connection that is given a socket does not connect by itself.
            connection.sock = self._socket = socket.socket(family)
            if parts.scheme == "https":
                # Wrap the socket before it connects: a reset socket that is wrapped later is not closed.
                connection.sock = self._socket = trust().wrap_socket(
                    self._socket, server_hostname=parts.hostname
                )
            self._socket.settimeout(ANSWER_SECONDS_MAX)
            self._socket.connect(address)
            connection.request("POST", target, body, _headers_of(self.due, body, self._clock.now()))
            with closing(connection.getresponse()) as answer:
                return answer.status

    @property
    def is_late(self) -> bool:
        return self.seconds > ANSWER_SECONDS_MAX

    @property
    def seconds(self) -> float:
        """Return how long the attempt has been under way."""
        return time.monotonic() - self.began

    def break_off(self) -> None:
        """Make the attempt end soon; nobody waits for it any more."""
        if self._socket is not None:
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)


@cache
def trust() -> ssl.SSLContext:
    """Return a TLS context that trusts the certificates that the system trusts."""
    return ssl.create_default_context()


def _headers_of(due: Due, body: bytes, now: datetime) -> dict[str, str]:
    return {
        "Content-Type": "application/json",
        "User-Agent": f"Recount/{version('recountdb')}",
        "Connection": "close",
        "Recount-Epoch": due.entry.epoch or "",
        "webhook-id": due.id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Signer(due.secret).sign(due.id, now, body.decode()),
    }


def refusal(status: int) -> str:
    """Return the error for an answer whose status is not a success."""
    if 300 <= status < 400:
        return f"answered {status}; redirects are not followed"
    return f"answered {status}"


def reason_of(error: Exception) -> str:
    """Return why there was no answer, in our own words: a receiver's could contain anything."""
    match error:
        case socket.gaierror() | UnicodeError():
            return "nobody knows the name"
        case ssl.SSLCertVerificationError():
            return "the certificate cannot be trusted"
        case ssl.SSLError():
            return "no TLS connection came about"
        case ConnectionRefusedError():
            return "the connection was refused"
        case OSError():
            return "the connection broke, or did not come about"
        case _:
            return "the answer is not HTTP"


class Sender:
    """The work of the process that sends (see projections.followers.leader.Leader)."""

    def __init__(self, clock: Clock, *, allow_private: bool) -> None:
        self._clock = clock
        self._allow_private = allow_private
        self._done: SimpleQueue[Post] = SimpleQueue()
        self._under_way: dict[str, Post] = {}
        self._shares = Shares(BYTES_MAX)
        self._slow: dict[str, None] = {}  # webhooks, the one longest known to be slow first
        self._served: dict[str, None] = {}  # projects, the one with the oldest turn first
        self._cleaned_up = 0.0

    def __call__(self, lead: Lease) -> None:
        listen(lead.connection, CHANNEL)
        try:
            while not lead.is_over:
                self._change_lanes()
                self._begin(lead)
                lead.wait(POLL_SECONDS)
                self._note(lead)
                self._clean_up(lead)
        finally:
            for post in self._under_way.values():
                post.break_off()
            self._under_way.clear()
            self._shares = Shares(BYTES_MAX)

    def _begin(self, lead: Lease) -> None:
        due_now = find_due_deliveries(
            lead.connection,
            but=list(self._under_way),
            slow=list(self._slow),
            served=list(self._served),
            lanes=LANES,
            weight_max=WEIGHT_MAX,
        )
        for due in due_now:
            if not self._shares.take(due.entry.project, len(due.entry.state)):
                continue  # it is still due when another one is done
            self._note_turn(due.entry.project)
            post = Post(due, self._done, lead, clock=self._clock, allow_private=self._allow_private)
            self._under_way[due.webhook_id] = post
            post.start()

    def _change_lanes(self) -> None:
        """Move attempts that take long out of the way of others.

        An attempt goes on in the slow lane if there is room. If there is none and others may be waiting, it
        is started again there later, and does not count: no receiver has less time than another.
        """
        quick_lane, slow_lane = LANES
        taken = Counter(self._project(key) for key in self._under_way if key in self._slow)
        quick = [post for key, post in self._under_way.items() if key not in self._slow]
        is_full = len(quick) >= quick_lane.at_once
        for post in [post for post in quick if post.seconds > SLOW_SECONDS]:
            key, project = post.due.webhook_id, post.due.entry.project
            if taken.total() < slow_lane.at_once and taken[project] < slow_lane.each:
                self._slow[key] = None
                taken[project] += 1
            elif is_full:
                self._slow[key] = None
                self._let_go(post)
                post.break_off()

    def _project(self, webhook_id: str) -> str:
        return self._under_way[webhook_id].due.entry.project

    def _let_go(self, post: Post) -> None:
        del self._under_way[post.due.webhook_id]
        self._shares.give_back(post.due.entry.project, len(post.due.entry.state))

    def _note_pace(self, post: Post) -> None:
        """Remember which lane a webhook takes next."""
        self._slow.pop(post.due.webhook_id, None)
        if post.seconds > SLOW_SECONDS:
            self._slow[post.due.webhook_id] = None
        if len(self._slow) > SLOW_KNOWN_MAX:
            del self._slow[next(iter(self._slow))]

    def _note_turn(self, project: str) -> None:
        self._served.pop(project, None)
        self._served[project] = None
        if len(self._served) > SERVED_MAX:
            del self._served[next(iter(self._served))]

    def _note(self, lead: Lease) -> None:
        """Record the results of attempts that are done or late."""
        with suppress(Empty):
            while True:
                self._finish(lead, self._done.get_nowait())
        for post in [post for post in self._under_way.values() if post.is_late]:
            self._finish(lead, post)
            post.break_off()

    def _finish(self, lead: Lease, post: Post) -> None:
        if self._under_way.get(post.due.webhook_id) is not post:
            return  # the attempt was late, or belongs to an earlier lead
        delay = choose_delay(post.due.attempts + 1, random.random())  # noqa: S311 - no secret
        record_attempt(lead.connection, post.due, post.attempt, delay_seconds=delay)
        self._let_go(post)
        self._note_pace(post)

    def _clean_up(self, lead: Lease) -> None:
        if time.monotonic() > self._cleaned_up + CLEAN_UP_SECONDS:
            delete_old_deliveries(lead.connection)
            self._cleaned_up = time.monotonic()
