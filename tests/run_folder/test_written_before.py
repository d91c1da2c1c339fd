"""A run folder that dux-agent 0.1.0 wrote, before events had classes, is read."""

import json
import shutil
from pathlib import Path

import jsonschema
import pytest
from typer.testing import CliRunner

from dux_agent.cli import app
from dux_agent.run_folder import trace
from dux_agent.run_folder.run_facts import read_facts
from dux_agent.run_history.reading import read_story
from dux_agent.runs.plan import Plan
from dux_agent.runs.recorded_plan import planned

FOLDER = Path(__file__).with_name("written_before")


def test_each_of_its_events_is_one_of_a_class_and_of_the_schema():
    validator = jsonschema.Draft202012Validator(trace.schema())

    assert {""} == {event.fault for event in trace.iterate(FOLDER)}
    for line in (FOLDER / "trace.jsonl").read_text().splitlines():
        validator.validate(json.loads(line))


def test_its_history_is_the_one_that_was_told_then():
    run = read_story(FOLDER)
    [decision] = run.decisions

    assert [2.2874, 1.3113] == [round(epoch.val, 4) for epoch in run.epochs]
    assert ("applied", 67) == (decision.verdict, decision.step)
    assert "RuleBasedMuon" in decision.source
    assert decision.proposals[0].ok
    assert len(decision.proposals[0].losses) > 5


def test_its_facts_are_the_plan_of_the_run():
    assert 2 == Plan.of(FOLDER, read_facts(FOLDER)).epochs


@pytest.mark.parametrize("options", [(), ("--json",), ("--decision", "1")])
def test_it_is_shown_in_the_terminal(options):
    result = CliRunner().invoke(app, ["trace", str(FOLDER), *options])

    assert 0 == result.exit_code, result.output
    assert "RuleBasedMuon" in result.output


@pytest.mark.parametrize(
    ("mode", "said", "wanted"),
    [
        (None, None, "isolated"),
        (None, "recorded", "recorded"),
        ("recorded", None, "auto"),
        ("isolated", None, "auto"),
    ],
)
def test_a_run_goes_on_as_it_was_before_rules_were_recorded(
    tmp_path, mode, said, wanted
):
    folder = tmp_path / "run"
    shutil.copytree(FOLDER, folder)
    lines = (folder / "trace.jsonl").read_text().splitlines()
    events = [json.loads(line) for line in lines]
    for event in events:
        if event["kind"] == "apply" and mode is not None:
            event["data"]["mode"] = mode
    (folder / "trace.jsonl").write_text("\n".join(map(json.dumps, events)) + "\n")

    plan = planned(folder, execution=said)

    assert wanted == plan.execution
