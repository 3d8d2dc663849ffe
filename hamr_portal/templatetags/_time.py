"""How do pages say when? Ages that the page's script keeps true, moments, days and lengths of time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from django.template import Context
from django.utils.html import format_html
from django.utils.safestring import SafeString

LATE_AFTER = timedelta(seconds=30)
"""From this age on, a view that is shown as the present is late."""


def span(length: timedelta) -> str:
    """Give a length of time in at most two units: `9 s`, `4 min 13 s`, `2 h 5 min`, `41 days`."""
    seconds = max(0, int(length.total_seconds()))
    minutes, hours = seconds // 60, seconds // 3600
    if seconds < 60:
        return f"{seconds} s"
    if minutes < 60:
        return f"{minutes} min {seconds % 60} s"
    return f"{hours} h {minutes % 60} min" if hours < 48 else f"{hours // 24} days"


def length_of_time(seconds: float) -> str:
    """Give a limit as people call it: `30 min`, `12 h`, `90 s`."""
    for unit, size in (("h", 3600), ("min", 60)):
        if seconds >= size and seconds % size == 0:
            return f"{seconds / size:g} {unit}"
    return f"{seconds:g} s"


def age(context: Context, moment: datetime, *, view: bool = False, place: int | None = None) -> SafeString:
    """Show how long ago something was, on paper when; the page's script keeps it true.

    The age of a `view` that is shown as the present says so when it is late. By its `place` it is told anew where
    nothing else of the page changed.
    """
    now = context["now"]
    late = view and now - moment > LATE_AFTER
    return format_html(
        '<time datetime="{}" data-age="{}" data-at="{}"{}>{} ago{}</time>',
        machine(moment),
        "late" if late else "view" if view else "",
        clock(moment, now),
        format_html(' data-place="{}"', place) if place is not None else "",
        span(now - moment),
        ", late" if late else "",
    )


def at(context: Context, moment: datetime) -> SafeString:
    """Show when something was, to the second: `03:08:31` today, else `14 Mar 11:50:07`."""
    return format_html('<time datetime="{}">{}</time>', machine(moment), clock(moment, context["now"]))


def day(context: Context, moment: datetime) -> SafeString:
    """Show on which day something was: `14 Mar`, with the year where it is another one."""
    return format_html('<time datetime="{}">{}</time>', machine(moment), _date(moment, context["now"]))


def lasting(context: Context, moment: datetime, *, at_least: bool = False) -> SafeString:
    """Show how long something has been so: `for 2 min 18 s`, `for at least 41 days`; from 100 days on since when."""
    now = context["now"]
    if now - moment >= timedelta(days=100):
        return format_html('<time datetime="{}">since {}</time>', machine(moment), _date(moment, now))
    return format_html(
        '<time datetime="{}" data-lasting{} data-at="{}since {}">for {}{}</time>',
        machine(moment),
        format_html('="{}"', "at least ") if at_least else "",
        "at least " if at_least else "",
        clock(moment, now),
        "at least " if at_least else "",
        span(now - moment),
    )


def clock(moment: datetime, now: datetime) -> str:
    """Give a moment to the second, with its day where that is not today."""
    moment, now = moment.astimezone(UTC), now.astimezone(UTC)
    time = f"{moment:%H:%M:%S}"
    return time if moment.date() == now.date() else f"{_date(moment, now)} {time}"


def earlier(moment: datetime, than: datetime) -> str:
    """Give how long one moment was before another."""
    return span(than - moment)


def days(moment: datetime, now: datetime) -> int:
    """Give how many whole days ago something was."""
    return max(0, (now - moment).days)


def _date(moment: datetime, now: datetime) -> str:
    moment, now = moment.astimezone(UTC), now.astimezone(UTC)
    date = f"{moment.day} {moment:%b}"
    return date if moment.year == now.year else f"{date} {moment.year}"


def machine(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
