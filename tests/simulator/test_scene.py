"""The demo's company: every group of the dashboard at once, and the events that change it."""

from datetime import UTC, datetime, timedelta

import pytest

from hamr_portal.simulator import ACTIVE, CURRENT_USER, FAILOVER, ONBOARDING, PASSIVE, RECOVERY, scene

from .client import fetch, read

UNREADABLE, WRONG_ORGANIZATION, DARK = "unreadable", "wrong organization", "dark"


@pytest.fixture
def company(simulator):
    return scene.build(simulator)


def test_every_saved_organization_answers_as_itself_before_the_scene_begins(simulator, company):
    for saved in company.organizations_json():
        headers = {"DD-API-KEY": saved["api_key"], "DD-APPLICATION-KEY": saved["application_key"]}

        reply = fetch(simulator.urls[saved["site"]], CURRENT_USER, headers=headers)

        expected = simulator.organizations.named(saved["name"]).uuid
        assert reply.json["data"]["relationships"]["org"]["data"]["id"] == expected


def test_organizations_are_told_in_the_format_of_the_import(simulator, company):
    saved = company.organizations_json()

    assert saved == scene.organizations_json(simulator)
    assert {tuple(each) for each in saved} == {("name", "site", "api_key", "application_key", "requires_approval")}
    assert {each["name"] for each in saved if each["requires_approval"]} == {
        "halden-payments",
        "halden-payments-dr",
        "halden-identity",
        "halden-identity-dr",
    }


def test_one_organization_has_a_target_that_is_not_saved(simulator, company):
    saved = {each["name"] for each in company.organizations_json()}

    assert {each.name for each in simulator.organizations} - saved == {"halden-archive-dr"}
    assert simulator.organizations.named("halden-archive").view.target_org_name == "halden-archive-dr"


def test_every_group_of_the_dashboard_is_there_once_the_scene_has_begun(simulator, company):
    company.begin()

    seen = {pair: _seen(simulator, pair) for pair in _pairs(simulator)}

    assert seen == {
        "halden-checkout": (DARK, PASSIVE),
        "halden-payments": (ACTIVE, PASSIVE),
        "halden-billing": (PASSIVE, 403),
        "halden-search": (PASSIVE, WRONG_ORGANIZATION),
        "halden-logistics": (FAILOVER, FAILOVER),
        "halden-warehouse": (RECOVERY, RECOVERY),
        "halden-fleet": (ACTIVE, ACTIVE),
        "halden-ads": (PASSIVE, 429),
        "halden-messaging": (503, PASSIVE),
        "halden-reporting": (PASSIVE, UNREADABLE),
        "halden-people": (ONBOARDING, 404),
        "halden-partners": (ONBOARDING, ONBOARDING),
        "halden-insights": (404, 404),
        "halden-identity": (PASSIVE, PASSIVE),
        "halden-catalog": (PASSIVE, PASSIVE),
        "halden-support": (PASSIVE, PASSIVE),
        "halden-archive": (PASSIVE, PASSIVE),
    }


def test_both_sides_of_the_split_pair_say_primary_once_the_scene_has_begun(simulator, company):
    company.begin()

    views = [simulator.organizations.named(name).view for name in ("halden-payments", "halden-payments-dr")]

    assert [view.is_primary for view in views] == [True, True]
    assert views[0].modified_at > views[1].modified_at


def test_nothing_but_the_dark_organization_lives_in_the_dark_region(simulator, company):
    assert [each.name for each in simulator.organizations if each.site == scene.DARK] == ["halden-checkout"]


def test_one_side_of_each_pair_answers_in_either_spelling(simulator, company):
    primaries = [_side(simulator, pair).spelling for pair in _pairs(simulator)]
    secondaries = [_side(simulator, pair, "-dr").spelling for pair in _pairs(simulator)]

    assert set(zip(primaries, secondaries, strict=True)) == {
        ("snake_case", "PascalCase"),
        ("PascalCase", "snake_case"),
    }


def test_one_spelling_for_all_can_be_asked_for(simulator):
    scene.build(simulator, spelling="PascalCase")

    assert {each.spelling for each in simulator.organizations} == {"PascalCase"}


def test_changes_lie_in_the_past(simulator, company):
    moments = [each.view.modified_at for each in simulator.organizations if each.view]

    assert all(timedelta(minutes=1) < datetime.now(UTC) - moment < timedelta(days=100) for moment in moments)


def test_nothing_happens_before_the_scene_begins(simulator, company):
    with pytest.raises(ValueError, match="has not begun"):
        company.advance(1)


def test_beginning_twice_begins_once(simulator, company):
    company.begin()
    company.advance(60)

    company.begin()

    assert company.elapsed == 60
    assert simulator.faults("halden-ads-dr") == {}


def test_events_change_what_is_seen(simulator, company):
    company.begin()

    story = [(step, company.advance(step), _watched(simulator)) for step in (44, 1, 15, 30, 30, 60, 60, 60, 120)]

    assert [(step, len(said), seen) for step, said, seen in story] == [
        (44, 0, (PASSIVE, 429, DARK, 503, ACTIVE)),
        (1, 1, (FAILOVER, 429, DARK, 503, ACTIVE)),
        (15, 1, (FAILOVER, PASSIVE, DARK, 503, ACTIVE)),
        (30, 1, (ACTIVE, PASSIVE, DARK, 503, ACTIVE)),
        (30, 1, (ACTIVE, PASSIVE, PASSIVE, 503, ACTIVE)),
        (60, 1, (ACTIVE, PASSIVE, PASSIVE, PASSIVE, ACTIVE)),
        (60, 1, (ACTIVE, PASSIVE, PASSIVE, PASSIVE, RECOVERY)),
        (60, 1, (ACTIVE, 429, PASSIVE, PASSIVE, RECOVERY)),
        (120, 1, (ACTIVE, 429, DARK, PASSIVE, RECOVERY)),
    ]


def test_events_that_were_skipped_over_all_happen_in_order(simulator, company):
    company.begin()

    said = company.advance(10_000)

    assert said == [event.says for event in sorted(scene.EVENTS, key=lambda event: event.at)]
    assert company.advance(10_000) == []


def test_scene_plays_by_itself(simulator, company, monkeypatch):
    monkeypatch.setattr(simulator.agenda, "after", lambda _seconds, action: action())  # a clock that does not wait
    company.begin()

    company.play()

    assert company.elapsed == 420
    assert _watched(simulator) == (ACTIVE, 429, DARK, PASSIVE, RECOVERY)


def _watched(simulator):
    names = ("halden-catalog", "halden-ads-dr", "halden-checkout", "halden-messaging", "halden-fleet")
    return tuple(_answer(simulator, simulator.organizations.named(name)) for name in names)


def _seen(simulator, pair):
    return _answer(simulator, _side(simulator, pair)), _answer(simulator, _side(simulator, pair, "-dr"))


def _answer(simulator, organization):
    """What a reader of one organization gets: its status, an HTTP code, or what is wrong."""
    try:
        reply = read(simulator, organization)
    except ConnectionRefusedError:
        return DARK
    if reply.status != 200:
        return reply.status
    if "json" not in reply.headers["Content-Type"]:
        return UNREADABLE
    if reply.json["data"]["id"] != organization.uuid:
        return WRONG_ORGANIZATION
    return reply.attributes.get("hamr_status", reply.attributes.get("HamrStatus"))


def _pairs(simulator):
    return [each.name for each in simulator.organizations if not each.name.endswith("-dr")]


def _side(simulator, pair, suffix=""):
    return simulator.organizations.named(pair + suffix)
