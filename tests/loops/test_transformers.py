"""An agent in the Transformers trainer, by hand, against the same training without."""

import warnings

import pytest
import torch

from dux_agent import attach
from tests.loops.ends import assert_same, ends
from tests.sources import EXPLODES, MOMENTUM
from tests.talking import scripted

transformers = pytest.importorskip("transformers")

MODES = ("inline", "isolated")
STEPS = 12
GENTLE = MOMENTUM.replace("lr=0.05", "lr=0.01")
SCHEDULES = ("constant", "linear", "cosine", "constant_with_warmup")


def model_of(tied=True):
    torch.manual_seed(0)
    return transformers.GPT2LMHeadModel(
        transformers.GPT2Config(
            n_layer=1,
            n_head=2,
            n_embd=16,
            vocab_size=32,
            n_positions=16,
            tie_word_embeddings=tied,
            bos_token_id=0,
            eos_token_id=0,
        )
    )


def rows(count=48):
    drawn = torch.Generator().manual_seed(3)
    ids = torch.randint(0, 32, (count, 8), generator=drawn)
    return [{"input_ids": each, "labels": each} for each in ids]


def objective(model, batch):
    return model(**batch).loss


class Trainer(transformers.Trainer):
    """Tells the agent of each step, as a user's subclass does today."""

    agent = None

    def training_step(self, model, inputs, *more):
        loss = super().training_step(model, inputs, *more)
        self._seen = loss.detach(), dict(inputs)
        return loss


class Observing(transformers.TrainerCallback):
    def __init__(self, trainer):
        self.trainer = trainer

    def on_step_end(self, args, state, control, **more):
        self.trainer.agent.observe(*self.trainer._seen)


def trained(folder, *sources, tied=True, schedule="linear", execution="inline", **more):
    """Train; the weights at the end, and the verdicts."""
    model = model_of(tied)
    base = torch.optim.AdamW(
        [
            {"params": [p for p in model.parameters() if p.ndim > 1]},
            {
                "params": [p for p in model.parameters() if p.ndim < 2],
                "weight_decay": 0.0,
            },
        ],
        lr=1e-3,
        weight_decay=0.1,
    )
    agent = None
    if sources:
        agent = attach(
            model,
            base,
            objective,
            lm=scripted(*sources),
            every=4,
            total_steps=STEPS,
            max_attempts=1,
            execution=execution,
        )
    optimizer = base if agent is None else agent.optimizer
    scheduler = transformers.get_scheduler(
        schedule, optimizer, num_warmup_steps=2, num_training_steps=STEPS
    )
    arguments = transformers.TrainingArguments(
        output_dir=str(folder),
        max_steps=STEPS,
        per_device_train_batch_size=4,
        use_cpu=True,
        report_to=[],
        save_strategy="no",
        disable_tqdm=True,
        seed=5,
        **more,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer = Trainer(
            model=model,
            args=arguments,
            train_dataset=rows(),
            optimizers=(optimizer, scheduler),
        )
        if agent is not None:
            trainer.agent = agent
            trainer.add_callback(Observing(trainer))
        trainer.train()
    if agent is None:
        return ends(model), []
    agent.close()
    return ends(model), [each.verdict for each in agent.decisions]


@pytest.mark.parametrize("execution", MODES)
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_transformers_train_as_without_an_agent_that_applies_nothing(
    tmp_path, schedule, execution
):
    expected, _ = trained(tmp_path, schedule=schedule)

    found, verdicts = trained(
        tmp_path, EXPLODES, schedule=schedule, execution=execution
    )

    assert verdicts and {"kept"} == set(verdicts)
    assert_same(expected, found)


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_rule_does_the_same_in_transformers_wherever_it_runs(
    tmp_path, schedule, tied
):
    expected, inline = trained(tmp_path, GENTLE, schedule=schedule, tied=tied)

    found, isolated = trained(
        tmp_path, GENTLE, schedule=schedule, tied=tied, execution="isolated"
    )

    assert inline == isolated and {"applied"} == set(inline)
    assert_same(expected, found)


@pytest.mark.parametrize("execution", MODES)
def test_a_trained_model_is_saved_whole_while_a_rule_is_live(tmp_path, execution):
    model = model_of()
    base = torch.optim.SGD(model.parameters(), lr=0.01)
    batch = {key: torch.stack([row[key] for row in rows(4)]) for key in rows(1)[0]}
    with attach(
        model, base, objective, lm=scripted(GENTLE), execution=execution
    ) as agent:
        agent.step(batch)
        decision = agent.decide()
        agent.step(batch)

        model.save_pretrained(tmp_path)

        assert "applied" == decision.verdict
        again = transformers.GPT2LMHeadModel.from_pretrained(tmp_path)
        assert_same(ends(model), ends(again))
