"""The dry run as a judge: what it is compared with, and how that is counted."""

import json
import math

import pytest
from scipy import stats
from typer.testing import CliRunner

from dux_agent.benchmarks import dry_run_judge
from dux_agent.benchmarks.dry_run_judge import (
    HORIZONS,
    PROPOSALS,
    SPLITS,
    Tried,
    foretold,
    judge,
    mean_ranks,
    rank_correlation,
)
from dux_agent.cli import app

TASK = "tests.foreign_tasks:build"


@pytest.fixture(autouse=True)
def short(monkeypatch):
    monkeypatch.setattr(dry_run_judge, "AFTER", (1,))
    few = ("SGD 0.01", "AdamW 0.01", "AdamW 0.01 cooled down", "SGD 1")
    held = {name: PROPOSALS[name] for name in few}
    monkeypatch.setattr(dry_run_judge, "PROPOSALS", held)


def tried(seen, live):
    places = [(split, n) for split in SPLITS for n in HORIZONS]
    return Tried(dict.fromkeys(places, seen), {"next": live, "end": live})


@pytest.mark.parametrize(
    ("seen", "came", "correlation", "chosen"),
    [
        ((1, 2, 3), (1.0, 2.0, 4.0), 1.0, 1.0),
        ((3, 2, 1), (1.0, 2.0, 4.0), -1.0, 4.0),
        ((1, 2, math.inf), (1.0, 2.0, math.inf), 1.0, 1.0),
        ((1, 1, 1), (1.0, 2.0, 4.0), 0.0, 1.0),
    ],
)
def test_a_verdict_foretells_as_far_as_its_order_is_that_of_what_comes(
    seen, came, correlation, chosen
):
    decision = {
        str(at): tried(one, other)
        for at, (one, other) in enumerate(zip(seen, came, strict=True))
    }

    found = foretold([decision], "training", 10, "end")

    assert correlation == pytest.approx(found.correlation[0])
    assert chosen == pytest.approx(found.chosen)


def test_the_rank_correlation_is_spearmans_with_ties():
    one = [math.sin(3 * at) for at in range(9)] + [0.0, 0.0]
    other = [math.cos(2 * at) for at in range(10)] + [1.0]

    assert stats.spearmanr(one, other).statistic == pytest.approx(
        rank_correlation(one, other)
    )


def test_every_proposal_is_tried_from_the_same_weights_and_what_is_kept_is_read(
    tmp_path, monkeypatch
):
    (first,) = judge([TASK], [0], tmp_path)
    monkeypatch.delattr("dux_agent.tasks.build")
    (again,) = judge([TASK], [0], tmp_path)

    assert first == again
    assert list(dry_run_judge.PROPOSALS) == list(first)
    assert first["SGD 0.01"] != first["AdamW 0.01"]
    ranks = mean_ranks([first], lambda each: each.live["end"])
    assert 4 == len(ranks)
    assert sum(ranks.values()) == 10


def test_the_command_writes_a_page(tmp_path):
    done = CliRunner().invoke(
        app, ["bench", "judge", "--tasks", TASK, "--folder", str(tmp_path)]
    )

    assert 0 == done.exit_code, done.output
    assert "| 10, held back |" in done.stdout
    assert done.stdout == (tmp_path / "tables.md").read_text()
    page = (tmp_path / "index.html").read_text()
    assert "The dry run as a judge" in page
    assert "AdamW 0.01 cooled down" in page
    assert json.loads((tmp_path / "figures.json").read_text())
