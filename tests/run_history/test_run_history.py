import json

import pytest

from dux_agent.errors import RunFolderUnusable
from dux_agent.run_history.reading import read_story
from tests.run_folders import Writer, fenced, source, usual


def test_a_finished_run_is_told_with_its_epochs_losses_and_decisions(tmp_path):
    story = read_story(usual(tmp_path / "run"))

    assert 20 == len(story.losses) == story.steps
    assert [2.0, 1.0] == [epoch.val for epoch in story.epochs]
    assert [2.9, 2.8] == [epoch.val for epoch in story.control]
    assert ["applied", "applied"] == [each.verdict for each in story.decisions]
    assert 2 == story.epochs_planned


def test_a_decision_knows_its_source_its_incumbent_and_what_was_said(tmp_path):
    first, second = read_story(usual(tmp_path / "run")).decisions

    assert (source(1), None) == (first.source, first.incumbent)
    assert (source(2, 0.02), source(1)) == (second.source, second.incumbent)
    assert ("user", "Step 10: what now?") == first.prompts[0][1]
    assert fenced(source(1)) == first.proposals[0].reply
    assert ("dry_run", True) == (first.proposals[0].stage, first.proposals[0].ok)
    assert (1.0, 0.9, 0.8) == first.proposals[0].losses
    assert {"exp_avg": 2} == first.carried
    assert 1000 == first.usage["input_tokens"]


def test_a_decision_without_a_verdict_has_cost_what_its_calls_cost(tmp_path):
    with Writer(tmp_path / "run") as run:
        for tokens in (100, 30):
            run.ask(1, 10)
            usage = {"calls": 1, "input_tokens": tokens}
            run.event("reply", 1, 10, content="I would rather not.", usage=usage)

    [torn] = read_story(run.path).decisions

    assert {"calls": 2, "input_tokens": 130} == torn.usage


def test_the_incumbent_after_a_rollback_is_the_rule_before_it(tmp_path):
    with Writer(tmp_path / "run") as run:
        run.applied(1, 10, source(1), None)
        digest = run.applied(2, 20, source(2), source(1))
        run.event("rollback", 2, 24, digest=digest, reason="the loss rose")
        # A torn decision: no observation says what is live.
        run.event("reply", 3, 30, content=fenced(source(3)), usage={})

    _, second, third = read_story(run.path).decisions

    assert ("rolled_back", "the loss rose", 24) == (
        second.verdict,
        second.reason,
        second.rolled_back_at,
    )
    assert ("unfinished", source(1)) == (third.verdict, third.incumbent)


def test_each_proposal_is_told_with_what_its_own_stage_found(tmp_path):
    with Writer(tmp_path / "run") as run:
        run.ask(1, 10)
        run.event("reply", 1, 10, content="I would rather not.", usage={})
        run.propose(1, 10, source(1), ok=False)
        run.propose(1, 10, source(2))

    none, harmful, fine = read_story(run.path).decisions[0].proposals

    assert ("reply", False, None) == (none.stage, none.ok, none.source)
    assert ["harm"] == [finding.rule for finding in harmful.findings]
    assert (True, ()) == (fine.ok, fine.findings)


def test_a_torn_last_line_is_passed_over(tmp_path):
    path = usual(tmp_path / "run")
    before = read_story(path)
    with (path / "trace.jsonl").open("ab") as trace:
        trace.write(b'{"time": 1, "step": 2, "deci')

    assert before == read_story(path)


def test_what_was_written_last_of_a_step_counts(tmp_path):
    with Writer(tmp_path / "run") as run:
        run.losses(1, 5)
        run.event("loss", None, 5, loss=7.0)

    assert (5, 7.0) == read_story(run.path).losses[-1]


@pytest.mark.parametrize("damage", [None, 7, [], "x", {"a": []}, [[1]], 10**400])
def test_data_of_the_wrong_type_are_passed_over(tmp_path, damage):
    path = usual(tmp_path / "run")
    lines = [
        json.loads(line)
        for line in (path / "trace.jsonl").read_text().split("\n")
        if line
    ]
    keys = {key for line in lines for key in line["data"]}
    with (path / "trace.jsonl").open("w") as trace:
        for line in lines:
            for key in sorted(keys & line["data"].keys()):
                changed = line | {"data": line["data"] | {key: damage}}
                trace.write(json.dumps(changed) + "\n")
            trace.write(json.dumps(line | {"data": {}}) + "\n")

    assert 2 == len(read_story(path).decisions)


def test_a_folder_that_is_no_run_is_refused_in_one_line(tmp_path):
    with pytest.raises(RunFolderUnusable, match="no readable run.json"):
        read_story(tmp_path)
