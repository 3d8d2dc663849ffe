"""Which tags and filters do templates have, without loading any?"""

from __future__ import annotations

import json

from django import template
from django.core.serializers.json import DjangoJSONEncoder
from django.forms import BoundField
from django.utils.safestring import SafeString

from hamr_portal.domain.changes import usual_next
from hamr_portal.domain.connections import sanitized

from . import (
    _changes,
    _entries,
    _entry_words,
    _findings,
    _looks,
    _news,
    _outcomes,
    _people,
    _readiness,
    _time,
    _timeline,
    _timeline_words,
)

register = template.Library()

for tag in (_looks.icon, _looks.said, _looks.badge, _looks.read, _looks.past_read, _looks.keys):
    register.simple_tag(tag)
for drawn in (_outcomes.outcome, _outcomes.to_the_ms):
    register.simple_tag(drawn)
register.simple_tag(_looks.verdict_of, name="verdict")
for clocked in (_time.age, _time.at, _time.day, _time.lasting):
    register.simple_tag(clocked, takes_context=True)
for rule in (
    *(_looks.glyph, _looks.read_words),
    *(_looks.newer_trouble, _looks.newer_read, _looks.keys_trouble, _looks.key_words, _looks.in_trouble),
    *(_looks.due, _looks.rotation),
    *(_time.days, _time.earlier, _time.length_of_time, _time.span),
    *(_people.method_words, _people.factor_words),
    *(_news.move_words, _news.utc, _news.ago, _news.lasted),
    *(_findings.leading, _findings.further, _findings.found, _findings.side_of, _findings.across),
    *(_findings.beside, _findings.offer, _findings.clocks, _findings.passed_within),
    *(_findings.outside_is_news, _findings.names_itself, _findings.changed_last, _findings.agreed),
    *(_findings.rows_named, _findings.judged, _findings.word, _findings.answering, _findings.silent),
    *(_findings.with_before, _findings.same_view),
    *(_outcomes.outcome_words, usual_next, _outcomes.watched_until, _outcomes.in_groups, _outcomes.seconds),
    *(_outcomes.view_name, _outcomes.check_label),
    *(_timeline.drawn, _timeline_words.number_of, _timeline_words.took_effect_later),
    *(_readiness.risk_label, _readiness.risk_sentence, _readiness.risk_next, _readiness.fine_words),
):
    register.filter(rule.__name__, rule)

for shown in (_changes.status_badge, _changes.reading):
    register.simple_tag(shown)
register.simple_tag(_changes.until, takes_context=True)
for offering in (
    *(_changes.needs, _changes.choices, _changes.is_offered),
    *(_changes.status_words, _changes.moment, _changes.check_title, _changes.weighs),
):
    register.filter(offering.__name__, offering)

for written in (_entries.came_of, _entries.before_after, _entries.exact):
    register.simple_tag(written)
register.simple_tag(_entries.when, takes_context=True)
for told in (
    *(_entries.harmless, _entries.short_actor, _entries.actor_from, _entries.happened, _entries.particulars),
    *(_entries.request_of, _entries.answer_of, _entries.in_place, _entries.grouped, _entries.thousands),
    *(_entries.outcome_of, _entries.in_words, _entry_words.plainly, _entry_words.name_words),
):
    register.filter(told.__name__, told)


@register.filter
def person(address: str) -> str:
    """Give the short form of who it was: what stands before the @."""
    return address.partition("@")[0] or "nobody named"


@register.filter
def pretty(raw: str) -> str:
    """Indent an answer where it is JSON; any other text stays as it came."""
    try:
        text = json.dumps(json.loads(raw), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        return raw
    # Escapes that JSON hid become characters again: none of them may reorder or hide text on the page.
    return sanitized(text, len(text))


@register.filter
def hinted(field: BoundField) -> SafeString:
    """Draw a field that has a hint, so that both its hint and its error are read out with it."""
    error = f" {field.auto_id}_error" if field.errors else ""
    return field.as_widget(attrs={"aria-describedby": f"{field.auto_id}_hint{error}"})


@register.filter
def as_json(value: object) -> str:
    """Give what a script asks for as JSON, for a data- attribute: no page holds a script."""
    return json.dumps(value, cls=DjangoJSONEncoder)
