"""Trainers that evaluate and choose by it: the best checkpoint, the end, the rate."""

from pathlib import Path

import pytest

from tests.loops.ends import assert_same, ends
from tests.sources import EXPLODES

transformers = pytest.importorskip("transformers")

from tests.integrations.test_transformers import (  # noqa: E402
    STEPS,
    agent_behind,
    rows,
    trainer_in,
)

pytestmark = pytest.mark.filterwarnings("ignore")


def hits(predicted):
    """An `EvalPrediction` in, a figure out: the share of tokens that are right."""
    right = predicted.predictions.argmax(-1) == predicted.label_ids
    return {"hits": float(right.mean())}


CHOOSING = {
    "the best of all": {
        "gradient_accumulation_steps": 2,
        "max_grad_norm": 0.1,
        "label_smoothing_factor": 0.1,
        "eval_steps": 3,
        "save_steps": 3,
        "metric_for_best_model": "hits",
        "greater_is_better": True,
    },
    "a plateau": {
        "lr_scheduler_type": "reduce_lr_on_plateau",
        "eval_steps": 2,
        "save_steps": 2,
        "metric_for_best_model": "eval_loss",
    },
    "an early end": {
        "gradient_accumulation_steps": 3,  # of 8 batches an epoch
        "eval_strategy": "epoch",
        "save_strategy": "epoch",
        "max_steps": -1,
        "num_train_epochs": 4,
        "metric_for_best_model": "eval_loss",
        "greater_is_better": True,  # it falls, and so training ends at once
        "early": True,
    },
}


def chosen_in(folder, *, early=False, **arguments):
    """A trainer that evaluates, saves, and loads the best of it at its end."""
    more = {"eval_dataset": rows(8, seed=9), "compute_metrics": hits}
    if early:
        more["callbacks"] = [transformers.EarlyStoppingCallback(1)]
    often = {"eval_strategy": "steps", "save_strategy": "steps", **arguments}
    return trainer_in(folder, more=more, load_best_model_at_end=True, **often)


def came_of(trainer):
    """Everything that is no time: logs, the step of the end, the best of all."""
    times = ("runtime", "per_second")
    logs = [
        {key: value for key, value in each.items() if not key.endswith(times)}
        for each in trainer.state.log_history
        if "dux/decision" not in each
    ]
    best = Path(trainer.state.best_model_checkpoint).name
    return logs, trainer.state.global_step, trainer.state.best_metric, best


@pytest.mark.parametrize("source", [None, EXPLODES])
@pytest.mark.parametrize("name", CHOOSING)
def test_what_a_trainer_chooses_by_its_evaluation_it_chooses_with_an_agent(
    tmp_path, name, source
):
    expected = chosen_in(tmp_path / "without", **CHOOSING[name])
    expected.train()
    found = chosen_in(tmp_path / "with", **CHOOSING[name])

    options = {"every": None} if source is None else {}
    with agent_behind(found, source or EXPLODES, **options) as agent:
        found.train()

    assert came_of(expected) == came_of(found)
    assert_same(ends(expected.model), ends(found.model))
    assert expected.state.global_step == agent.step_count
    assert (name == "an early end") == (agent.step_count < STEPS)
    assert (source is None) == (not agent.decisions)


@pytest.mark.parametrize("name", CHOOSING)
def test_a_run_that_chooses_goes_on_from_its_first_checkpoint(tmp_path, name):
    arguments = {**CHOOSING[name], "early": False}
    whole = chosen_in(tmp_path / "whole", **arguments)
    with agent_behind(whole, EXPLODES, every=None):
        whole.train()
    saved = min(
        (tmp_path / "whole").glob("checkpoint-*"),
        key=lambda folder: int(folder.name.split("-")[1]),
    )
    again = chosen_in(tmp_path / "again", **arguments)

    with agent_behind(again, EXPLODES, every=None) as agent:
        again.train(resume_from_checkpoint=str(saved))

    assert STEPS == agent.step_count
    assert came_of(whole)[1:3] == came_of(again)[1:3]
    assert_same(ends(whole.model), ends(again.model))
