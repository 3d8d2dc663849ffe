"""What templates draw, at one moment."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from django.template import Context, Template

NOW = datetime(2026, 3, 15, 3, 12, 44, tzinfo=UTC)


def drawn(text: str, **context: Any) -> str:
    return Template(text).render(Context({"now": NOW, **context}))


def ago(**length: float) -> datetime:
    return NOW - timedelta(**length)
