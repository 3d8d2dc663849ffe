"""`/metrics`: how the portal and what it reads are doing, as Prometheus reads it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.http import require_safe
from prometheus_client.core import CollectorRegistry, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.registry import Collector

from hamr_portal import __version__
from hamr_portal.domain.access import Machines, requires
from hamr_portal.domain.people import Action
from hamr_portal.domain.tokens import Scope
from hamr_portal.services import metrics
from hamr_portal.services.metrics import Measured, Reading
from hamr_portal.services.pulse import Pulse

_OF_READINGS: Mapping[str, tuple[str, Callable[[Reading], float | None]]] = {
    "answer_age_seconds": ("Since when the last answer is known.", lambda reading: reading.answered_ago),
    "read_age_seconds": ("Since when the last attempt to read is over.", lambda reading: reading.attempted_ago),
    "reads_failed_in_a_row": ("How often reading failed since it last did not.", lambda each: each.failed_in_a_row),
}


@requires(Action.SEE_STATUS, or_machines=Machines(Scope.METRICS, from_loopback=True))
@require_safe
def show(request: HttpRequest) -> HttpResponse:
    """Give the numbers of this moment: each scrape measures anew, so that it does not matter which process answers."""
    registry = CollectorRegistry()
    registry.register(_Now(metrics.measured(now=timezone.now())))
    return HttpResponse(generate_latest(registry), content_type=CONTENT_TYPE_PLAIN_0_0_4)


class _Now(Collector):
    def __init__(self, found: Measured) -> None:
        self.found = found

    def collect(self) -> Iterator[Metric]:
        found = self.found
        yield InfoMetricFamily(
            "hamr_portal",
            "Which portal this is.",
            {"version": __version__, "environment": settings.ENVIRONMENT_NAME},
        )
        yield _one("up", "The portal answers, and so does its database.", 1)
        yield from _of_readings(found.readings)
        yield _one("pairs_needing_action", "Pairs and unpaired organizations that need a person.", found.needing_action)
        yield _by("changes_open", "Changes that hold their pair.", "status", found.open_changes)
        yield _one("audit_head", "The number of the last entry of the audit log.", found.audit_seq)
        yield _one("audit_in_doubt", "1 while the audit log is in doubt, and no change is sent.", found.audit_in_doubt)
        yield _one("audit_anchor", "The entry that was anchored last.", found.anchor_seq)
        yield _one("audit_anchor_age_seconds", "Since when it is anchored.", found.anchor_ago)
        states = {pulse.name: pulse is found.worker.pulse for pulse in Pulse}
        yield _by("worker", "1 for what the workers are.", "pulse", states)
        yield _one("worker_seen_age_seconds", "Since when a worker was last seen.", found.worker_ago)
        yield _one("changes_frozen", "1 while an admin has frozen changes.", found.freeze_left is not None)
        yield _one("freeze_left_seconds", "Until the freeze that holds ends.", found.freeze_left)
        yield _one("news_waiting", "Messages that wait to be told.", found.news_waiting)
        yield _one("news_waiting_age_seconds", "The age of the oldest news that waits.", found.news_oldest_ago)
        yield _one("news_given_up", "Messages that were given up in the last day.", found.news_given_up)


def _of_readings(readings: Iterable[Reading]) -> Iterator[Metric]:
    for name, (text, value) in _OF_READINGS.items():
        family = GaugeMetricFamily(f"hamr_portal_{name}", text, labels=("organization", "site"))
        for reading in readings:
            measured = value(reading)
            if measured is not None:
                family.add_metric((reading.organization, reading.site), measured)
        yield family
    outcomes = GaugeMetricFamily(
        "hamr_portal_read_outcome", "1 for what came of the last read.", labels=("organization", "site", "outcome")
    )
    for reading in readings:
        outcomes.add_metric((reading.organization, reading.site, reading.outcome or "NOT_READ"), 1)
    yield outcomes


def _one(name: str, text: str, value: float | None) -> Metric:
    """Give one number; what is not known is left out, and never 0."""
    family = GaugeMetricFamily(f"hamr_portal_{name}", text)
    if value is not None:
        family.add_metric((), value)
    return family


def _by(name: str, text: str, label: str, values: Mapping[str, float]) -> Metric:
    family = GaugeMetricFamily(f"hamr_portal_{name}", text, labels=(label,))
    for word, value in values.items():
        family.add_metric((word,), value)
    return family
