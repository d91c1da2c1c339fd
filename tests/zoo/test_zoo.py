"""The optimizers of the zoo as sources: accepted, lawful, told, and found by name."""

import json
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from dux_agent.checking.trying import built_in, try_out
from dux_agent.cli import app
from dux_sandbox.laws import check_laws
from dux_sandbox.static_check import check
from dux_sandbox.zoo import NOT_EXPRESSIBLE, UnknownEntry, entries, entry
from tests.rule_sources import unguarded

NAMES = sorted(entries())


@pytest.mark.parametrize("name", NAMES)
def test_every_source_is_accepted_as_it_is(name):
    report = check(entry(name).source)

    assert (report.ok, report.findings) == (True, ())


@pytest.mark.parametrize("name", NAMES)
def test_every_source_keeps_the_laws_but_for_what_it_declares(name):
    found = entry(name)

    results = check_laws(
        unguarded(found.source), examples=0, traits=found.traits, source=found.source
    )

    assert [(r.name, r.message) for r in results if not r.ok] == []


@pytest.mark.parametrize("name", ["adamw", "adam4bit", "muon", "entropy_sgd", "dog"])
def test_a_source_passes_the_dry_run_of_a_decision(name):
    tried = try_out(entry(name).source, built_in())

    assert tried.report.ok, tried.report.findings


def test_there_are_at_least_thirty_and_each_says_what_it_is():
    assert len(entries()) >= 30
    for found in entries().values():
        assert found.title.endswith("."), found.name
        assert "w = " in found.formula or "y = " in found.formula, found.name
        assert "arXiv" in found.paper or found.paper[-5:-1].isdigit(), found.name
        assert found.state.endswith("."), found.name


def test_an_entry_is_found_by_the_name_of_its_class_in_any_case():
    assert (
        entry("ScheduleFreeAdamW")
        is entry("schedule_free_adamw")
        is entry("SCHEDULE_FREE_adamw")
    )


def test_a_name_that_is_none_is_told_with_what_is_near():
    with pytest.raises(UnknownEntry, match="did you mean lion"):
        entry("lin")


def test_a_rule_whose_state_is_bytes_keeps_bytes_through_a_checkpoint():
    w = torch.nn.Parameter(torch.ones(300, dtype=torch.bfloat16))
    before = unguarded(entry("adam8bit").source)([w])
    w.grad = torch.linspace(-1, 1, 300).bfloat16()
    before.step()
    after = unguarded(entry("adam8bit").source)([w])

    after.load_state_dict(before.state_dict())

    assert after.state[w]["mean"].dtype == torch.int8
    assert torch.equal(after.state[w]["mean"], before.state[w]["mean"])


def run(*arguments):
    return CliRunner().invoke(app, ["zoo", *arguments])


def test_the_list_names_everything_and_what_no_rule_can_be():
    told = run("list").output

    assert all(name in told for name in NAMES)
    assert all(each.title in told for each in NOT_EXPRESSIBLE)


def test_the_list_is_plain_data_for_programs():
    listed = json.loads(run("list", "--json").output)

    assert [each["name"] for each in listed] == NAMES
    assert listed[NAMES.index("entropy_sgd")]["traits"] == [
        "needs-closure",
        "stochastic",
    ]


def test_what_is_shown_is_the_file():
    assert run("show", "lion").output == entry("lion").source


def test_an_unknown_name_ends_in_2_with_one_line():
    done = run("show", "lin")

    assert done.exit_code == 2
    assert done.stderr.count("\n") == 1
    assert "did you mean lion" in done.stderr


def test_two_entries_differ_where_their_formulas_do():
    done = run("diff", "adam", "adamw")

    assert done.exit_code == 1
    assert (
        '+                p.mul_(1 - group["lr"] * group["weight_decay"])'
        in done.output
    )


def test_a_copy_of_an_entry_does_not_differ_from_it(tmp_path):
    copy = Path(tmp_path) / "mine.py"
    copy.write_text(entry("adamw").source)

    done = run("diff", "adamw", str(copy))

    assert (done.exit_code, done.output) == (0, "")


def test_an_entry_is_checked_and_tried_by_the_laws():
    done = run("check", "lion")

    assert done.exit_code == 0, done.output
    assert "accepted" in done.output
    assert "lawful" in done.output
