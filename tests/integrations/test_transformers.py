"""`attach_trainer` before `trainer.train()`: the script as it was, and one line."""

import runpy
import sys
import warnings
from pathlib import Path

import pytest
import torch

from dux_agent import attach
from dux_agent.errors import BadArgument, MissingExtra
from tests.loops.ends import assert_same, ends
from tests.sources import EXPLODES, MOMENTUM
from tests.talking import scripted

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    transformers = pytest.importorskip("transformers")
    from dux_agent.integrations.transformers import attach_trainer

pytestmark = pytest.mark.filterwarnings("ignore")

STEPS, ROWS, BATCH = 12, 32, 4
GENTLE = MOMENTUM.replace("lr=0.05", "lr=0.01")


def model_of(dropout=0.1):
    torch.manual_seed(0)
    return transformers.GPT2LMHeadModel(
        transformers.GPT2Config(
            n_layer=1,
            n_head=2,
            n_embd=16,
            vocab_size=32,
            n_positions=16,
            bos_token_id=0,
            eos_token_id=0,
            resid_pdrop=dropout,
            embd_pdrop=dropout,
            attn_pdrop=dropout,
        )
    )


def rows(count=ROWS, seed=3):
    drawn = torch.Generator().manual_seed(seed)
    ids = torch.randint(0, 32, (count, 8), generator=drawn)
    return [{"input_ids": each, "labels": each} for each in ids]


class Counting(transformers.Trainer):
    """Somebody's subclass: its loss keeps figures, as those of trl do."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.figures = {"train": {"losses": []}}
        self.calls = 0

    def compute_loss(self, model, inputs, **more):
        loss = super().compute_loss(model, inputs, **more)
        self.calls += 1
        self.figures["train"] = {
            "losses": [*self.figures["train"]["losses"], float(loss)]
        }
        return loss


def trainer_in(folder, kind=transformers.Trainer, dropout=0.1, more=None, **arguments):
    options = {
        "output_dir": str(folder),
        "max_steps": STEPS,
        "per_device_train_batch_size": BATCH,
        "use_cpu": True,
        "report_to": [],
        "save_strategy": "no",
        "disable_tqdm": True,
        "seed": 5,
        "logging_steps": 1,
        "learning_rate": 1e-2,
        **arguments,
    }
    return kind(
        model=model_of(dropout),
        args=transformers.TrainingArguments(**options),
        train_dataset=rows(),
        **(more or {}),
    )


def losses_of(trainer):
    return [each["loss"] for each in trainer.state.log_history if "loss" in each]


def agent_behind(trainer, source, **options):
    options = {"every": 4, "max_attempts": 1, "execution": "inline", **options}
    return attach_trainer(trainer, lm=scripted(source), **options)


def verdicts(agent):
    return [each.verdict for each in agent.decisions]


KINDS = {
    "plain": {},
    "accumulating": {"gradient_accumulation_steps": 3},
    "bfloat16": {"bf16": True},
    "smoothed labels": {"label_smoothing_factor": 0.1},
    "counting": {"kind": Counting, "lr_scheduler_type": "constant"},
}


@pytest.mark.parametrize("name", KINDS)
def test_losses_are_those_of_no_agent_while_it_decides_nothing(tmp_path, name):
    expected = trainer_in(tmp_path, **KINDS[name])
    expected.train()
    found = trainer_in(tmp_path, **KINDS[name])

    with agent_behind(found, EXPLODES) as agent:
        found.train()

    assert ["kept", "kept"] == verdicts(agent)
    assert STEPS == agent.step_count == len(losses_of(found))
    assert losses_of(expected) == losses_of(found)
    assert_same(ends(expected.model), ends(found.model))
    if name == "counting":
        assert (expected.calls, expected.figures) == (found.calls, found.figures)


class Recording(transformers.Trainer):
    """Keeps its batches, so that a plain loop can train on the same."""

    def training_step(self, model, inputs, items=None):
        batch = {**inputs, "num_items_in_batch": items}
        self.__dict__.setdefault("batches", []).append(batch)
        return super().training_step(model, inputs, items)


@pytest.mark.parametrize(
    ("execution", "schedule"), [("inline", "cosine"), ("isolated", "linear")]
)
def test_a_rule_does_what_it_does_in_a_plain_loop(tmp_path, execution, schedule):
    trainer = trainer_in(tmp_path, Recording, dropout=0.0, lr_scheduler_type=schedule)
    with agent_behind(trainer, GENTLE, execution=execution) as agent:
        trainer.train()
    twin = trainer_in(tmp_path, dropout=0.0)
    model, losses = twin.model.train(), []
    plain = attach(
        model,
        twin.create_optimizer(),
        lambda model, batch: model(**batch).loss,
        lm=scripted(GENTLE),
        every=4,
        total_steps=STEPS,
        max_attempts=1,
        execution=execution,
    )
    scheduler = transformers.get_scheduler(
        schedule, plain.optimizer, num_warmup_steps=0, num_training_steps=STEPS
    )

    for batch in trainer.batches:
        plain.optimizer.zero_grad()
        loss = model(**batch).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        plain.optimizer.step()
        scheduler.step()
        plain.observe(loss, batch)
        losses.append(float(loss))
    plain.close()

    assert ["applied", "applied"] == verdicts(agent) == verdicts(plain)
    assert losses == losses_of(trainer)
    assert_same(ends(model), ends(trainer.model))


@pytest.mark.parametrize(
    ("at", "execution", "kind"),
    [(5, "inline", "plain"), (8, "isolated", "plain"), (7, "inline", "accumulating")],
)
def test_a_run_that_died_goes_on_to_the_last_bit(tmp_path, at, execution, kind):
    saving = {"save_strategy": "steps", "save_steps": at, **KINDS[kind]}
    whole = trainer_in(tmp_path, **saving)
    with agent_behind(whole, GENTLE, execution=execution, every=3) as first:
        whole.train()
    torch.manual_seed(99)
    again = trainer_in(tmp_path / "again", **saving)

    with agent_behind(again, GENTLE, execution=execution, every=3) as second:
        again.train(resume_from_checkpoint=str(tmp_path / f"checkpoint-{at}"))

    assert losses_of(whole) == losses_of(again)
    assert_same(ends(whole.model), ends(again.model))
    assert verdicts(first) == verdicts(second)
    assert STEPS == second.step_count


def test_a_checkpoint_is_loaded_where_there_is_no_agent(tmp_path):
    trainer = trainer_in(tmp_path, save_strategy="steps", save_steps=9)
    with agent_behind(trainer, GENTLE) as agent:
        trainer.train()
    alone = trainer_in(tmp_path / "alone")

    alone.train(resume_from_checkpoint=str(tmp_path / "checkpoint-9"))

    saved = torch.load(tmp_path / "checkpoint-9" / "optimizer.pt", weights_only=True)
    assert "applied" in verdicts(agent)
    assert {"exp_avg", "exp_avg_sq", "step"} == set(saved["state"][0])
    assert losses_of(trainer)[:9] == losses_of(alone)[:9]
    assert STEPS == len(losses_of(alone))


def test_the_evaluation_loss_is_what_a_decision_validates_by(tmp_path):
    evaluated = rows(10, seed=4)
    trainer = trainer_in(
        tmp_path,
        more={"eval_dataset": evaluated},
        eval_strategy="steps",
        eval_steps=4,
        dropout=0.0,
    )

    with agent_behind(trainer, EXPLODES) as agent:
        trainer.train()

    told = [
        [each["step"], pytest.approx(each["eval_loss"], rel=1e-5)]
        for each in trainer.state.log_history
        if "eval_loss" in each
    ]
    assert told[:2] == agent.training.validations


def test_decisions_are_in_the_trainers_log(tmp_path):
    trainer = trainer_in(tmp_path)

    with agent_behind(trainer, GENTLE) as agent:
        trainer.train()

    told = [each for each in trainer.state.log_history if "dux/decision" in each]
    assert [1.0, 2.0] == [each["dux/applied"] for each in told]
    assert [4, 8] == [each["step"] for each in told]
    assert trainer.optimizer.optimizer is agent.optimizer


def test_an_objective_and_a_scheduler_of_ones_own(tmp_path):
    def objective(model, batch):
        return model(**batch).loss

    model = model_of()
    base = torch.optim.SGD(model.parameters(), lr=0.05)
    schedule = torch.optim.lr_scheduler.StepLR(base, 4)
    trainer = trainer_in(tmp_path, more={"optimizers": (base, schedule)})
    trainer.model = model

    with agent_behind(trainer, GENTLE, objective=objective) as agent:
        pointed = schedule.optimizer
        trainer.train()

    assert pointed is agent.optimizer
    assert "applied" in verdicts(agent)


def test_what_would_leave_the_agent_behind_is_refused(tmp_path):
    remade = transformers.Trainer(
        model_init=lambda: model_of(),
        args=trainer_in(tmp_path).args,
        train_dataset=rows(),
    )
    replaced = trainer_in(tmp_path)
    with agent_behind(replaced, GENTLE):
        replaced.optimizer = None

        with pytest.raises(BadArgument, match="attach after everything that sets"):
            replaced.train()
    with pytest.raises(BadArgument, match="model_init"):
        attach_trainer(remade)
    with pytest.raises(BadArgument, match="it is a int"):
        attach_trainer(3)


def test_the_example_trains(capsys):
    example = Path(__file__).parents[2] / "examples" / "transformers_run.py"

    runpy.run_path(str(example), run_name="__main__")

    printed = capsys.readouterr().out
    assert "step 40: applied" in printed
    assert float(printed.split()[-1]) < float(printed.split()[-3].strip(","))


def test_without_transformers_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)

    with pytest.raises(MissingExtra, match=r"pip install 'dux-agent\[transformers\]'$"):
        runpy.run_module("dux_agent.integrations.transformers")


def test_an_agent_that_is_attached_again_takes_the_place_of_the_one_before(tmp_path):
    trainer = trainer_in(tmp_path)
    former = agent_behind(trainer, EXPLODES)

    with agent_behind(trainer, GENTLE) as again:
        trainer.train()
        saved = again.optimizer.state_dict()

    assert former.closed
    assert (0, STEPS) == (former.step_count, again.step_count)
    assert ["applied", "applied"] == verdicts(again)
    assert STEPS == saved["dux_agent"]["watch"]["step"]
