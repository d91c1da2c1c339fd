"""Methods of tuning are compared beside random search, which always stands there."""

import json
import math
import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from dux_agent.benchmarks.studies import as_text, compare
from dux_agent.cli import app
from dux_agent.errors import BadArgument
from dux_agent.tuning_tasks.measures import RANDOM


def test_random_search_and_the_defaults_stand_beside_every_method():
    found = compare("svm:wine,lr:wine", ["offline"], budgets=(3, 5), pool=6)

    for told in found.measures.values():
        assert {"offline", RANDOM, "defaults", "defaults + random"} == set(
            told["validation"]
        )
        assert 0.0 == told["validation"][RANDOM]["mean_change"][0]
    five = found.errors["5"]
    assert all(
        five["offline"][task][0][0] <= found.errors["3"]["offline"][task][0][0]
        for task in ("svm:wine", "lr:wine")
    )
    assert "offline rule" in as_text(found)
    assert "pool of 6" in as_text(found)


def test_a_method_with_seeds_has_an_interval():
    found = compare("toy:branin", ["random"], budgets=(4,), pool=8, seeds=range(3))

    value, half = found.measures["4"]["validation"]["random"]["mean_error"]
    assert math.isfinite(value)
    assert "test" not in found.measures["4"]


def test_a_hybrid_is_named_by_who_goes_on():
    found = compare("toy:branin", ["offline>random"], budgets=(6,), pool=8)

    assert "offline rule>random" in as_text(found)


def test_a_pool_smaller_than_a_budget_is_refused():
    with pytest.raises(BadArgument, match="pool is 5"):
        compare("toy:branin", ["offline"], budgets=(10,), pool=5)


def test_the_command_prints_the_table_and_keeps_the_figures(tmp_path):
    words = ["bench", "tune", "--suite", "toys", "--budgets", "3", "--pool", "4"]

    done = CliRunner().invoke(app, [*words, "-o", str(tmp_path / "figures.json")])

    assert 0 == done.exit_code, done.output
    kept = json.loads((tmp_path / "figures.json").read_text())
    assert ("toys", 4, [0]) == (kept["suite"], kept["pool"], kept["seeds"])
    assert 10 == len(kept["errors"]["3"]["offline"])


def test_budgets_that_are_no_numbers_end_in_one_line():
    done = CliRunner().invoke(app, ["bench", "tune", "--budgets", "many"])

    assert 2 == done.exit_code


@pytest.mark.slow
def test_the_offline_rule_keeps_its_bar_over_the_papers_tasks():
    data = Path(os.environ.get("DUX_DATA", ".")) / "hpo"
    if not data.is_dir():
        pytest.skip("DUX_DATA names no folder with hpo/")

    found = compare("paper32", ["offline"], budgets=(10,), pool=60)

    told = found.measures["10"]
    assert told["validation"]["offline"]["beats_random"][0] >= 100 * 29 / 32
    assert told["test"]["offline"]["beats_random"][0] >= 100 * 21 / 32
