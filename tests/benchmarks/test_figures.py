"""The paper's figures 3 to 5: every arm, beside what it is compared with."""

import json

import pytest
from typer.testing import CliRunner

from dux_agent.benchmarks.figures import ARMS, FIGURES, draw_figures
from dux_agent.cli import app
from dux_agent.errors import DuxError
from dux_agent.tuning.reading import read_study
from dux_agent.tuning_tasks.images import ImageTask


@pytest.fixture
def evaluated(monkeypatch):
    """What was asked; errors by a formula, since a test has no pictures."""
    asked = []

    def error_of(self, config):
        asked.append(dict(config))
        error = min(1.0, abs(config["learning_rate"] - 0.01) + config["weight_decay"])
        return {"value": error, "report": {"test_error": error}}

    monkeypatch.setattr(ImageTask, "__call__", error_of)
    return asked


def test_every_arm_differs_in_what_it_is_named_for_and_in_nothing_else(
    evaluated, tmp_path
):
    pages = list(draw_figures("scripted", tmp_path, budget=3))

    plans = {
        (network, arm): read_study(tmp_path / f"{network}-scripted-{arm}-3-0").plan
        for network in ("resnet", "vit")
        for arm in ARMS
    }
    for (network, arm), plan in plans.items():
        given, facts = plans[network, "given"].facts(), plan.facts()
        differing = {name for name in facts if facts[name] != given[name]}
        assert set(ARMS[arm]) | {"control"} >= differing, arm
    assert [f"{name}.html" for name in FIGURES] == [page.name for page in pages]
    for page in pages:
        text = page.read_text()
        assert "random search from the same defaults" in text
        assert "scripted" in text.lower()
        assert "Trajectories" in text


def test_with_no_ranges_told_a_prompt_names_none(evaluated, tmp_path):
    list(draw_figures("scripted", tmp_path, budget=2, networks=("vit",)))

    def first_prompt(arm):
        told = read_study(tmp_path / f"vit-scripted-{arm}-2-0").trials[0]
        return json.dumps(told.prompts)

    assert "0.0001 to 0.1" in first_prompt("given")
    assert "0.0001 to 0.1" not in first_prompt("free")
    assert "handwritten" in first_prompt("given")
    assert "handwritten" not in first_prompt("short")
    assert first_prompt("paper") != first_prompt("given")


def test_a_study_that_is_there_is_not_run_again(evaluated, tmp_path):
    first = [p.read_text() for p in draw_figures("offline", tmp_path, budget=2)]
    evaluated.clear()

    again = [p.read_text() for p in draw_figures("offline", tmp_path, budget=2)]

    assert [] == evaluated
    assert first == again


def test_a_model_that_is_not_there_ends_in_one_line(evaluated, tmp_path):
    with pytest.raises(DuxError):
        list(draw_figures("nobody:at-all", tmp_path, budget=2))

    assert [] == evaluated


@pytest.mark.parametrize(
    "words",
    [
        ["figures"],
        ["figures", "--lm", "scripted"],
        ["step", "--lm", "offline"],
        ["--lm", "offline"],
        ["figures", "--lm", "offline", "--folder", "f", "--seeds", "0"],
        ["figures", "--lm", "offline", "--folder", "f", "--budgets", "few"],
    ],
)
def test_what_cannot_be_meant_ends_with_exit_code_2(words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    assert 2 == CliRunner().invoke(app, ["bench", *words]).exit_code
    assert not (tmp_path / "f").exists()
