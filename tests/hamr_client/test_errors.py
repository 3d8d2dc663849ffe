import pytest

from hamr_portal.domain.connections import ReadOutcome
from hamr_portal.hamr_client import HamrError, NotSent, OutcomeUnknown, Phase, Rejected, Untrusted
from hamr_portal.hamr_client._deadline import Attempt, Deadline


def error(kind=OutcomeUnknown, phase=Phase.ANSWER, status=None, reason="why", raw=""):
    return kind(reason, phase=phase, elapsed_ms=1, http_status=status, raw=raw)


@pytest.mark.parametrize("kind", [NotSent, Untrusted, Rejected, OutcomeUnknown])
def test_errors_are_one_family(kind):
    assert issubclass(kind, HamrError)


def test_error_reads_as_its_reason():
    assert str(error(reason="connection refused")) == error(reason="connection refused").reason == "connection refused"


def test_reason_is_one_line():
    assert error(reason=" upstream\n\tsaid  no\r\n").reason == "upstream said no"


def test_texts_are_sanitized_and_short():
    found = error(reason="a\x00\u202e" + "b" * 300, raw="\ud800" + "c" * 300)

    assert found.reason.startswith("a\ufffd\ufffdb")
    assert found.raw.startswith("\ufffdc")
    assert len(found.reason) == len(found.raw) == 200


@pytest.mark.parametrize("phase", [phase for phase in Phase if phase is not Phase.ANSWER])
def test_read_without_a_whole_answer_is_no_answer(phase):
    assert error(phase=phase, status=200).read_outcome is ReadOutcome.NO_ANSWER


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (101, ReadOutcome.UNREADABLE),
        (200, ReadOutcome.UNREADABLE),
        (204, ReadOutcome.UNREADABLE),
        (307, ReadOutcome.UNREADABLE),
        (400, ReadOutcome.REFUSED),
        (401, ReadOutcome.KEY_REFUSED),
        (403, ReadOutcome.KEY_REFUSED),
        (404, ReadOutcome.REFUSED),
        (405, ReadOutcome.REFUSED),
        (408, ReadOutcome.SERVER_ERROR),
        (422, ReadOutcome.REFUSED),
        (429, ReadOutcome.RATE_LIMITED),
        (499, ReadOutcome.REFUSED),
        (500, ReadOutcome.SERVER_ERROR),
        (504, ReadOutcome.SERVER_ERROR),
    ],
)
def test_read_comes_to_what_its_status_says(status, outcome):
    assert error(status=status).read_outcome is outcome


def test_answer_without_a_status_is_no_answer():
    assert error(status=None).read_outcome is ReadOutcome.NO_ANSWER


def test_failed_attempt_says_after_how_many_milliseconds(monkeypatch):
    deadline = Deadline(5.0)
    monkeypatch.setattr(deadline, "elapsed", lambda: 1.5)

    assert Attempt(deadline, 1.0).error().elapsed_ms == 1500
