"""How does a worker work? It takes what is due, reads it, stores each answer as it comes, and says that it lives."""

from __future__ import annotations

import logging
import os
import socket
import time
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from datetime import timedelta
from threading import Event as Signal
from uuid import UUID

from django.conf import settings
from django.db import DataError, IntegrityError, close_old_connections, transaction
from django.db import Error as DatabaseError
from django.db.models import Q
from django.utils import timezone

from hamr_portal.crypto import KeyRingUnusable
from hamr_portal.domain.audit import Actor, Event
from hamr_portal.models import Worker

from . import audit, connections, drills, integrity, notifications, pulse, readings, reconciliation, watch
from .connections import Flight, Result
from .delivery import Carrier

TICK = 0.25
"""Seconds between two looks for what is due."""

HEARTBEAT = timedelta(seconds=2)
WATCH_EVERY = 5.0
"""Seconds between two looks at the verdicts of all pairs."""

LOOK_AHEAD = 2000
"""So many due organizations are looked at at once; the threads decide how many of them are read."""

logger = logging.getLogger(__name__)


def run(stop: Signal, *, once: bool = False) -> None:
    """Work until `stop` is set, or `once` through what is due; what is under way is finished first."""
    work = _Work(_register(), once=once)
    try:
        if once:
            reconciliation.tidy(by=work.by)
        with work.carrier, ThreadPoolExecutor(settings.HAMR_SWEEP_THREADS, thread_name_prefix="read") as pool:
            while work.turn(pool, take=not stop.is_set()) or not (once or stop.is_set()):
                if not work.flights:
                    stop.wait(TICK)
            work.tell(last=True)
    finally:
        work.leave()


class _Work:
    """One worker's flights and heartbeat."""

    def __init__(self, row: Worker, *, once: bool) -> None:
        self.row = row
        self.once = once
        self.taken: set[UUID] = set()
        self.by = Actor(kind="worker", name=row.name)
        self.flights: dict[Future[Result], Flight] = {}
        self.carrier = Carrier()
        self.watched_at = 0.0

    def turn(self, pool: ThreadPoolExecutor, *, take: bool) -> bool:
        """Take, wait, store; tell whether there was work. The loop lives on when the database does not."""
        flying, took = bool(self.flights), False
        try:
            close_old_connections()
            self._beat()
            took = take and self._take(pool)
            self._land()
        except DatabaseError as error:
            if self.once:
                raise
            logger.warning("the database did not take it: %s", type(error).__name__)
            if not take:
                self.flights.clear()  # Their leases pass; waiting for a database could take for ever.
            time.sleep(TICK)
        # What landed just now may have made room for what is due: that is work too.
        return took or flying

    def leave(self) -> None:
        """Say that this worker has ended of its own accord."""
        try:
            Worker.objects.filter(pk=self.row.pk).update(stopped_at=timezone.now())
        except DatabaseError as error:
            logger.warning("the database did not take the end of this worker: %s", type(error).__name__)

    def _beat(self) -> None:
        now = timezone.now()
        if abs(now - self.row.seen_at) >= HEARTBEAT:  # a clock may be set back
            self.row.seen_at = now
            reconciliation.tidy(by=self.by)
            drills.tidy(by=self.by)
            self._look_after_the_record()
            self.tell()
            Worker.objects.filter(pk=self.row.pk).update(seen_at=now)

    def _look_after_the_record(self) -> None:
        try:
            if integrity.is_due():
                integrity.verify_and_keep(by=self.by)
        except (KeyRingUnusable, OSError) as error:
            logger.warning("the record is not verified: %s", error)
        except DatabaseError:
            raise
        except Exception:
            # A bug. The statuses must not go unread for it.
            logger.exception("looking after the record failed")

    def tell(self, *, last: bool = False) -> None:
        """Queue what is news by now, and carry out what is due; the `last` time, wait for what is on its way."""
        try:
            if last or time.monotonic() - self.watched_at >= WATCH_EVERY:
                self.watched_at = time.monotonic()
                watch.look(now=timezone.now())
                notifications.sweep(now=timezone.now())
            if self.once or not last:
                self.carrier.turn()
            if last:
                self.carrier.finish()
        except DatabaseError as error:
            logger.warning("the database did not take news: %s", type(error).__name__)
        except Exception:
            # A bug. The statuses must not go unread for it.
            logger.exception("telling news failed")

    def _take(self, pool: ThreadPoolExecutor) -> bool:
        in_the_air = Counter(flight.site_name for flight in self.flights.values())
        due = connections.due(LOOK_AHEAD)
        wanted = reconciliation.take_due(now=timezone.now())
        if self.once:  # Where a sweep takes longer than the interval, it would never end.
            due = [each for each in due if each[0] not in self.taken]
            wanted -= self.taken
        # What a change waits for is read first, and whether it is due or not.
        flights = connections.claim(wanted, Q()) if wanted else []
        chosen = choose(due, in_the_air, settings.HAMR_SWEEP_THREADS - len(flights))
        flights += connections.claim(chosen, connections.is_due()) if chosen else []
        for flight in flights:
            self.flights[pool.submit(connections.fetch, flight)] = flight
            if self.once:
                self.taken.add(flight.organization_id)
        return bool(flights)

    def _land(self) -> None:
        if not self.flights:
            return
        landed, _ = wait(self.flights, timeout=TICK, return_when=FIRST_COMPLETED)
        for future in landed:
            error = future.exception()
            if error is not None:
                # A bug. This lease passes by itself; the other organizations must not go unread for it.
                logger.error("reading %s failed: %s", self.flights[future].name, type(error).__name__)
        good = [future.result() for future in landed if future.exception() is None]
        if good:
            self._store(good)
        for future in landed:
            del self.flights[future]

    def _store(self, results: list[Result]) -> None:
        """Store these together, or each by itself where the database refuses what one of them holds."""
        try:
            counted = readings.store(results, by=self.by)
        except (DataError, IntegrityError) as error:
            if len(results) > 1:
                for result in results:
                    self._store([result])
            else:
                logger.exception("storing what %s answered failed", results[0].flight.name, exc_info=error)
        else:
            self._learn(counted)

    def _learn(self, results: list[Result]) -> None:
        """Hold what was stored against the changes that wait for it."""
        try:
            reconciliation.learn(results, by=self.by)
        except DatabaseError:
            raise
        except Exception:
            # A bug. What was read is stored, and the other organizations must not go unread for it.
            logger.exception("holding readings against changes failed")


def choose(due: Iterable[tuple[UUID, str]], in_the_air: Counter[str], threads: int) -> list[UUID]:
    """Give what to read next: no site may hold more than half of the threads, so that a dark one delays no other."""
    share = max(1, threads // 2)
    held = Counter(in_the_air)
    chosen = []
    for organization_id, site in due:
        if held.total() >= threads:
            break
        if held[site] < share:
            held[site] += 1
            chosen.append(organization_id)
    return chosen


def _register() -> Worker:
    """Put this worker down, and on the record where nobody had read for long before it."""
    now = timezone.now()
    name = f"{socket.gethostname()}:{os.getpid()}"
    before = pulse.state(now=now)
    with transaction.atomic():
        if before.seen_at is not None and now - before.seen_at > pulse.late_after():
            data = {"last_seen_at": before.seen_at.isoformat()}
            audit.append(Event.WORKER_RESUMED, by=Actor(kind="worker", name=name), data=data)
        Worker.objects.filter(seen_at__lt=now - timedelta(days=7)).delete()
        return Worker.objects.create(name=name, started_at=now, seen_at=now)
