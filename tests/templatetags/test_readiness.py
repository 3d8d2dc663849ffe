from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest

from hamr_portal.domain.readiness import Fine, Found, Risk, Topic
from hamr_portal.templatetags._readiness import fine_words, risk_label, risk_next, risk_sentence

NOW = datetime(2026, 3, 15, 3, 12, 44, tzinfo=UTC)


@pytest.mark.parametrize("risk", Risk)
@pytest.mark.parametrize("since", [None, NOW - timedelta(days=1)])
def test_every_risk_has_a_word_a_sentence_and_a_next_step(risk: Risk, since: datetime | None):
    found = Found(risk, "acme", "us1", since, "NO_ANSWER" if risk.topic is Topic.READS else "x", 7)

    assert re.fullmatch(r"[A-Z0-9].*[^.]", risk_label(found, NOW).strip())
    assert re.fullmatch(r"[A-Z0-9a].*\.", risk_sentence(found, NOW))
    assert re.fullmatch(r"[a-z].*[^.]", risk_next(found, NOW))


@pytest.mark.parametrize(
    ("found", "label", "sentence"),
    [
        (
            Found(Risk.WRITE_REFUSED, "acme", "us1", datetime(2025, 12, 14, tzinfo=UTC)),
            "Write refused 14 Dec 2025",
            "Site us1 refused a change by the keys of acme; they read.",
        ),
        (
            Found(Risk.KEYS_OLD, "acme", "us1", datetime(2026, 1, 2, tzinfo=UTC), count=97),
            "97 d, due",
            "The keys of acme were saved on 2 Jan.",
        ),
        (
            Found(Risk.NOT_READ, "acme", "us1", NOW - timedelta(seconds=253), "SERVER_ERROR", http_status=503),
            "Not read",
            "Organization acme on us1 last answered 4 min 13 s ago: HTTP 503.",
        ),
        (
            Found(Risk.NEVER_READ, "acme", "us1"),
            "Never read",
            "Organization acme on us1 has never answered: Not read yet.",
        ),
        (Found(Risk.CLOCK_SKEWED, count=95), "Clock wrong", "This machine's clock is 95 s behind the sites' clocks."),
        (
            Found(Risk.CLOCK_SKEWED, count=-95),
            "Clock wrong",
            "This machine's clock is 95 s ahead of the sites' clocks.",
        ),
        (
            Found(Risk.FACTOR_MISSING, count=1),
            "No second factor",
            "1 who may change something signs in with a password alone.",
        ),
        (
            Found(Risk.FACTOR_MISSING, count=3),
            "No second factor",
            "3 who may change something sign in with a password alone.",
        ),
        (
            Found(Risk.FACTOR_MISSING, "mara@halden.example", detail="operator"),
            "No second factor",
            "mara@halden.example, operator, signs in with a password alone.",
        ),
        (Found(Risk.WORKER_STOPPED), "Poller stopped", "No worker reads."),
    ],
)
def test_a_risk_is_said_with_its_facts(found: Found, label: str, sentence: str):
    assert (risk_label(found, NOW), risk_sentence(found, NOW)) == (label, sentence)


@pytest.mark.parametrize(
    ("fine", "words"),
    [
        (Fine(Topic.READS, 12, 12, limit=120.0), "12 of 12 organizations read within 2 min"),
        (Fine(Topic.WORKER, at=NOW - timedelta(seconds=8)), "The poller is live, last ran 8 s ago"),
        (Fine(Topic.LOG), "Verified never, and anchored"),
        (
            Fine(Topic.WRITES, 3, 12, datetime(2026, 3, 14, tzinfo=UTC)),
            "3 of 12 keys wrote since they were saved, the last 14 Mar; nothing but a real change can prove the rest",
        ),
        (
            Fine(Topic.WRITES, 0, 12),
            "0 of 12 keys wrote since they were saved; nothing but a real change can prove the rest",
        ),
        (
            Fine(Topic.CLOCK, 11, 12, limit=2),
            "Within 2 s of the sites' clocks, as 11 of 12 organizations' answers say",
        ),
    ],
)
def test_what_is_fine_is_said_in_one_line(fine: Fine, words: str):
    assert fine_words(fine, NOW) == words


@pytest.mark.parametrize("topic", Topic)
def test_every_topic_has_a_line(topic: Topic):
    assert fine_words(Fine(topic, 1, 2, NOW, 60), NOW)
