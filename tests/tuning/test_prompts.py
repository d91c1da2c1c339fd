"""The prompts of a study in the paper's four forms, word for word."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from dux_agent import one_of, real, whole
from dux_graphs.tuning.brief import HyperparameterBrief
from dux_prompts.brief import BriefError
from dux_prompts.tuning.space import Space
from dux_prompts.tuning.study_view import StudyView, TrialRow
from dux_sandbox.findings import Finding

GOLDEN = Path(__file__).parents[1] / "golden" / "tune"
SPACE = Space(
    {
        "lr": real(1e-5, 1.0, log=True, default=1e-3),
        "depth": whole(1, 8),
        "opt": one_of("adam", "sgd"),
        "momentum": real(0.0, 0.99, when={"opt": "sgd"}),
    }
)
TRIALS = [
    TrialRow(1, {"lr": 0.001, "depth": 4, "opt": "adam"}, 0.25),
    TrialRow(2, {"lr": 0.5, "depth": 2, "opt": "adam"}, None, "RuntimeError: no"),
    TrialRow(
        3,
        {"lr": 0.0123456, "depth": 4, "opt": "sgd", "momentum": 0.9},
        0.123456,
        yours=True,
    ),
]
VIEW = StudyView(number=4, budget=10, task="A small network on digits.", trials=TRIALS)
VIEWS = {
    "compressed": VIEW,
    "chat": replace(VIEW, news=1),
    "first": replace(VIEW, number=1, trials=[]),
    "override": replace(
        VIEW,
        optimizer={
            "name": "cmaes",
            "proposal": {"lr": 0.02, "depth": 3},
            "mean": {"lr": 0.01, "depth": 4},
            "spread": {"lr": 0.12, "depth": 0.3},
        },
        pending=[{"lr": 0.1, "depth": 1, "opt": "adam"}],
    ),
}


@pytest.mark.parametrize("prompts", [None, "paper"])
@pytest.mark.parametrize("reasoning", [True, False])
@pytest.mark.parametrize("form", VIEWS)
def test_a_prompt_reads_as_in_its_golden_file(form, reasoning, prompts):
    brief = HyperparameterBrief(SPACE, reasoning, prompts=prompts)
    name = f"{prompts or 'ours'}-{form}{'' if reasoning else '-bare'}.md"

    text = f"{brief.system(VIEWS[form])}\n=====\n\n{brief.update(VIEWS[form])}"

    if "DUX_WRITE_GOLDEN" in os.environ:
        GOLDEN.mkdir(exist_ok=True)
        (GOLDEN / name).write_text(text)
    assert (GOLDEN / name).read_text() == text


@pytest.mark.parametrize("prompts", [None, "paper"])
def test_a_repair_says_what_was_found(prompts):
    brief = HyperparameterBrief(SPACE, prompts=prompts)
    found = Finding("value", None, "'lr' is 2.0, outside 1e-05 to 1", "float").as_dict()

    text = brief.repair([{"try": 1, "config": {}, "findings": [found]}], 2)

    assert "'lr' is 2.0, outside 1e-05 to 1. Instead: float" in text


@pytest.mark.parametrize("prompts", [None, "paper"])
@pytest.mark.parametrize("form", VIEWS)
def test_no_prompt_shows_what_python_calls_a_thing(form, prompts):
    brief = HyperparameterBrief(SPACE, prompts=prompts)

    text = brief.system(VIEWS[form]) + brief.update(VIEWS[form])

    assert [] == [
        w for w in ("<built-in", "object at", "None", "{{", "\n\n\n") if w in text
    ]


def test_a_folder_of_ones_own_overrides_single_templates(tmp_path):
    (tmp_path / "system.md").write_text("Tune {{ form }}.")

    brief = HyperparameterBrief(SPACE, prompts=str(tmp_path))

    assert brief.system(VIEW).startswith('Tune {"lr": 0.001')
    assert "## Hyperparameters" in brief.update(VIEW)


def test_a_template_that_names_what_is_not_there_is_said(tmp_path):
    (tmp_path / "update.md").write_text("{{ colour }}")

    with pytest.raises(BriefError, match="colour"):
        HyperparameterBrief(SPACE, prompts=str(tmp_path)).update(VIEW)
