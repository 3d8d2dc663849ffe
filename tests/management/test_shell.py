from __future__ import annotations

import os
from io import StringIO

import pytest
from django.core.management import call_command
from django.core.management.base import SystemCheckError
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder

from hamr_portal.management.shell import console, shell_actor
from tests import factories

COMMANDS = [
    ("status",),
    ("run_worker", "--once"),
    ("add_person", "mara@halden.example", "--role", "viewer"),
    ("import_organizations", "-"),
]


def test_who_is_at_the_shell_is_the_user_of_this_machine(monkeypatch):
    monkeypatch.setenv("LOGNAME", "mara")

    actor = shell_actor()

    assert (actor.kind, actor.name.partition("@")[0]) == ("command", "mara")
    assert actor.role == ""


def test_a_user_without_a_name_is_told_by_number(monkeypatch):
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 4_294_967_000)

    assert shell_actor().name.startswith("uid 4294967000@")


def test_a_pipe_gets_plain_text_that_is_not_folded():
    pipe = StringIO()

    console(pipe).print("[bold]" + "word " * 60 + "[/bold]")

    assert pipe.getvalue() == "word " * 60 + "\n"


@pytest.mark.django_db
@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: words[0])
def test_a_command_does_not_start_on_a_database_that_is_not_migrated(words):
    MigrationRecorder(connection).record_unapplied(*factories.newest_migration())

    with pytest.raises(SystemCheckError, match=r"portal\.E004"):
        call_command(*words, skip_checks=False)
