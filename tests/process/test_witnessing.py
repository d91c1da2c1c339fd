"""`dux doctor` sees each denial: it works outside the jail and fails inside."""

import io
import sys

import pytest
from rich.console import Console
from typer.testing import CliRunner

from dux_agent.cli import app
from dux_agent.terminal.jail_text import print_jail
from dux_sandbox.process import jail
from dux_sandbox.process.attempts import ATTEMPTS
from dux_sandbox.process.jail import Layer
from dux_sandbox.process.spawning import Zygote
from dux_sandbox.process.witnessing import OUTLIVE, Tried, Witnessed, witness
from tests.attacks.broken_jails import boot

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="what is tried is Linux's own"
)


def printed(seen):
    console = Console(width=200, file=io.StringIO())
    print_jail(console, seen)
    return console.file.getvalue()


@pytest.fixture(scope="module")
def seen():
    return witness()


def test_all_that_is_tried_works_outside_and_fails_inside(seen):
    assert [*(each.name for each in ATTEMPTS), OUTLIVE] == [
        one.name for one in seen.tried
    ]
    assert [] == [one for one in seen.tried if not one.witnessed]


def test_every_layer_is_seen_to_deny_alone_what_it_is_there_for(seen):
    assert list(jail.LAYERS) == [layer.name for layer in seen.layers]
    for one in seen.tried:
        assert one.alone and all(one.alone.values()), one
    for layer in seen.layers:
        assert layer.active and seen.by(layer.name), layer


def test_the_command_says_what_was_seen():
    result = CliRunner().invoke(app, ["doctor"])

    assert 0 == result.exit_code, result.output
    assert "rlimits" in result.stdout
    count = len(ATTEMPTS) + 1
    assert f"{count} things were tried: {count} work outside the jail and fail" in (
        result.stdout
    )


def test_what_a_container_takes_away_is_said_in_words_and_what_still_holds():
    seen = witness(Zygote(boot("in_docker")))
    text = printed(seen)

    missing = [layer.name for layer in seen.layers if not layer.active]
    assert ["namespaces", "landlock"] == missing
    assert "2 of 7 layers are missing on this system" in text
    assert "Docker's default profile refuses new namespaces" in text
    assert "Linux 5.13" in text
    # seccomp alone denies it too.
    assert [] == [one for one in seen.tried if one.inside]


def test_what_works_in_a_rules_process_is_said_aloud():
    seen = witness(Zygote(boot("without_seccomp")))
    text = printed(seen)

    works = {one.name for one in seen.tried if one.inside}
    assert {"start a process", "start a thread"} <= works
    assert "read a file" not in works
    assert "to start a process WORKS in a rule's process" in text
    assert "pip install pyseccomp" in text


def test_a_layer_that_only_says_it_holds_is_found_out(monkeypatch):
    from dux_sandbox.process import witnessing

    monkeypatch.setattr(witnessing, "Zygote", lambda: Zygote(boot("that_lies")))

    result = CliRunner().invoke(app, ["doctor"])

    assert 1 == result.exit_code, result.output
    assert "every layer is active" in result.stdout
    assert "to read a file WORKS in a rule's process" in result.stdout


def test_what_a_system_denies_to_everybody_counts_for_nothing():
    tried = Tried("read", False, False, "Operation not permitted", {"landlock": True})

    seen = Witnessed((Layer("landlock", True, "No path.", 0.1),), (tried,))
    text = printed(seen)

    assert not tried.witnessed
    assert [] == seen.by("landlock")
    assert "nothing that was seen" in text
    assert "to read fails without the jail too (Operation not permitted)" in text
    assert "1 things were tried: 0 work outside" in text
