"""Where do all web processes count failed sign-ins together? Django's cache, in a table of the portal's own database.

Not Django's own `DatabaseCache`: it unpickles what it reads, so that whoever can write a row could run code here,
beside the key ring; and when it is full it throws away what still counts, so that a flood would undo every limit.
"""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime, timedelta
from typing import Any

from django.core.cache.backends.base import DEFAULT_TIMEOUT, BaseCache
from django.db import IntegrityError, transaction
from django.utils import timezone

from hamr_portal.models import Tally

_NEVER = datetime(9999, 1, 1, tzinfo=UTC)


class SharedCache(BaseCache):
    """Keeps JSON values in rows. Where the database takes nothing it raises: no session could be kept then either."""

    def __init__(self, location: str, params: dict[str, Any]) -> None:
        super().__init__(params)

    def add(self, key: str, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None) -> bool:
        """Keep a value unless there is one; of many that try at once, one is told True."""
        row = self._row(key, value, timeout, version)
        over = Tally.objects.filter(pk=row.pk, until__lte=timezone.now())
        if over.update(value=row.value, until=row.until):
            return True
        try:
            with transaction.atomic():
                row.save(force_insert=True)
        except IntegrityError:
            return False
        return True

    def get(self, key: str, default: Any = None, version: int | None = None) -> Any:
        """Give a value that still counts."""
        found = Tally.objects.filter(pk=self._digest(key, version), until__gt=timezone.now())
        text = found.values_list("value", flat=True).first()
        return default if text is None else json.loads(text)

    def set(self, key: str, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None) -> None:
        """Keep a value, whatever there is; and sweep out what counts no more, as nobody else does."""
        Tally.objects.filter(until__lte=timezone.now()).delete()
        row = self._row(key, value, timeout, version)
        Tally.objects.bulk_create(
            [row], update_conflicts=True, unique_fields=["digest"], update_fields=["value", "until"]
        )

    def touch(self, key: str, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None) -> bool:
        """Let a value count until another moment."""
        found = Tally.objects.filter(pk=self._digest(key, version), until__gt=timezone.now())
        return bool(found.update(until=self._until(timeout)))

    def delete(self, key: str, version: int | None = None) -> bool:
        """Forget a value."""
        return bool(Tally.objects.filter(pk=self._digest(key, version)).delete()[0])

    def clear(self) -> None:
        """Forget all."""
        Tally.objects.all().delete()

    def _row(self, key: str, value: Any, timeout: Any, version: int | None) -> Tally:
        return Tally(digest=self._digest(key, version), value=json.dumps(value), until=self._until(timeout))

    def _digest(self, key: str, version: int | None) -> str:
        return hashlib.sha256(self.make_key(key, version=version).encode()).hexdigest()

    def _until(self, timeout: Any) -> datetime:
        seconds = self.default_timeout if timeout is DEFAULT_TIMEOUT else timeout
        return _NEVER if seconds is None else timezone.now() + timedelta(seconds=seconds)
