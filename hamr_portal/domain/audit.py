"""What goes on the record: who acted, what happened, and how the record is written down."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


@dataclass(frozen=True)
class Actor:
    """Who acts, as they are at that moment: a snapshot, so that history does not change with the person.

    `kind` is `person`, `command`, `worker` or, before somebody has signed in, `visitor`; `session` is a fingerprint,
    never the session's key; `signed_in` tells how and when.
    """

    kind: str
    name: str
    role: str = ""
    address: str = ""
    session: str = ""
    request_id: str = ""
    agent: str = ""
    signed_in: str = ""


class Event(StrEnum):
    """Everything that the portal puts on the record."""

    ORGANIZATION_ADDED = "organization.added"
    ORGANIZATION_EDITED = "organization.edited"
    ORGANIZATION_DISABLED = "organization.disabled"
    ORGANIZATION_ENABLED = "organization.enabled"
    ORGANIZATION_VERIFIED = "organization.verified"
    ORGANIZATION_PINNED = "organization.pinned"
    KEYS_REPLACED = "keys.replaced"
    KEYS_UNREADABLE = "organization.credential_unreadable"
    READ_CHANGED = "read.changed"
    KEYS_REFUSED = "organization.credentials_rejected"
    IDENTITY_MISMATCH = "organization.identity_mismatch"
    TLS_FAILURE = "api.tls_failure"
    REDIRECT_REFUSED = "api.redirect_refused"
    STATUS_CHANGED_OUTSIDE = "status.external_change"
    OUTSIDE_ACKNOWLEDGED = "status.external_change_acknowledged"
    PAIR_FOUND = "pair.found"
    PAIR_MOVED = "pair.moved"
    PAIR_PARTED = "pair.parted"
    PAIR_NAMED = "pair.named"
    RUN_SHEET_SAVED = "run_sheet.saved"
    PERSON_ADDED = "person.added"
    PASSWORD_SET = "person.password_set"  # noqa: S105 - the event, not a password
    ROLE_CHANGED = "person.role_changed"
    PERSON_DISABLED = "person.disabled"
    PERSON_ENABLED = "person.enabled"
    PERSON_NOTICE_SEEN = "person.notice_seen"
    FACTOR_ADDED = "person.factor_added"
    FACTOR_REMOVED = "person.factor_removed"
    FACTORS_RESET = "person.factors_reset"
    SSO_LINKED = "person.sso_linked"
    TOKEN_MADE = "token.made"  # noqa: S105 - the event, not a token
    TOKEN_REVOKED = "token.revoked"  # noqa: S105 - the event, not a token
    NEWS_TESTED = "news.tested"
    KEYS_ROTATED = "keys.rotated"
    WORKER_RESUMED = "worker.resumed"
    ACCESS_DENIED = "authz.denied"
    SIGNED_IN = "session.signed_in"
    SIGNED_OUT = "session.signed_out"
    STEPPED_UP = "session.stepped_up"
    SESSIONS_ENDED = "session.ended"
    SIGN_IN_FAILED = "session.sign_in_failed"
    LOCKED_OUT = "session.locked_out"

    FREEZE_BEGUN = "freeze.begun"
    FREEZE_ENDED = "freeze.ended"
    FREEZE_BROKEN = "freeze.broken"

    DRILL_BEGUN = "drill.begun"
    DRILL_TURNED = "drill.trouble_began"
    DRILL_ENDED = "drill.ended"

    LOG_VERIFIED = "audit.verified"
    LOG_EXPORTED = "audit.exported"
    LOG_KEYS_GIVEN = "audit.keys_given"
    LOG_ALARM = "audit.integrity_alarm"
    LOG_ADOPTED = "chain.restored"
    PACK_MADE = "audit.evidence_pack_made"
    OFFLINE_PACK_MADE = "offline_pack.made"

    CHANGE_PREPARED = "change.prepared"
    CHANGE_REFUSED = "change.refused"
    CHANGE_INCOMPLETE = "change.refused_incomplete"
    CHANGE_BUSY = "change.refused_busy"
    CHANGE_STALE = "change.refused_stale"
    CHANGE_TOKEN = "change.refused_token"  # noqa: S105 - the event, not a token
    CHANGE_FROZEN = "change.refused_frozen"
    APPROVAL_OF_OWN = "approval.refused_self"
    APPROVAL_ASKED = "change.approval_asked"
    CHANGE_APPROVED = "change.approved"
    APPROVAL_SKIPPED = "change.approval_skipped"
    CHANGE_DECLINED = "change.declined"
    CHANGE_CANCELLED = "change.cancelled"
    CHANGE_EXPIRED = "change.expired"
    CHANGE_SENDING = "change.sending"
    CHANGE_NOT_SENT = "change.not_sent"
    CHANGE_REJECTED = "change.rejected"
    CHANGE_ACCEPTED = "change.accepted"
    CHANGE_UNKNOWN = "change.unknown"
    CHANGE_ABANDONED = "change.abandoned"
    CHANGE_RESTORED = "change.restored"
    CHANGE_VERIFIED = "change.verified"
    CHANGE_LATE = "change.took_effect_late"
    CHANGE_NOT_APPLIED = "change.not_applied"
    CHANGE_SUPERSEDED = "change.superseded"
    CHANGE_RESOLVED = "change.resolved_by_operator"
    SKIP_SEEN = "change.approval_skipped_seen"
    STEP_TICKED = "change.step_ticked"
    STEP_TAKEN_BACK = "change.step_taken_back"
    DRIVER_OFFERED = "change.driver_offered"
    DRIVER_KEPT = "change.driver_kept"
    DRIVER_TAKEN = "change.driver_taken"
    DRIVER_TAKEN_OVER = "change.driver_taken_over"


def canonical(data: Mapping[str, Any]) -> str:
    """Give the one text form of an entry's data: JSON with sorted keys, no spaces, nothing escaped that need not be."""
    return json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False, default=str)
