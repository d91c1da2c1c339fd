"""An agent in Lightning's trainer, by hand, against the same training without one."""

import warnings

import pytest
import torch
from torch import nn

from dux_agent import attach
from tests import models
from tests.loops.ends import assert_same, ends
from tests.sources import EXPLODES, MOMENTUM
from tests.talking import scripted

lightning = pytest.importorskip("lightning")

MODES = ("inline", "isolated")
STEPS = 16
GENTLE = MOMENTUM.replace("lr=0.05", "lr=0.01")
IGNORES_ITS_CLOSURE = GENTLE.replace("if closure is not None:", "if False:")


class Module(lightning.LightningModule):
    """A small regression; holds its agent, as people do."""

    def __init__(self, source=None, *, manual=False, execution="inline", **options):
        super().__init__()
        self.accept = options.pop("accept", "harmless")
        self.net = models.mlp()
        self.source = source
        self.automatic_optimization = not manual
        self.execution = execution
        self.options = options
        self.agent = None

    def forward(self, inputs):
        return self.net(inputs)

    def configure_optimizers(self):
        base = torch.optim.SGD(self.parameters(), lr=0.02, momentum=0.9)
        optimizer = base
        if self.source is not None:
            self.agent = attach(
                self,
                base,
                models.objective,
                lm=scripted(self.source),
                every=6,
                total_steps=STEPS,
                max_attempts=1,
                accept=self.accept,
                execution=self.execution,
            )
            optimizer = self.agent.optimizer
        if "schedule" not in self.options:
            return optimizer
        schedule = torch.optim.lr_scheduler.StepLR(optimizer, 4, 0.5)
        return [optimizer], [{"scheduler": schedule, "interval": "step"}]

    def training_step(self, batch, at):
        loss = models.objective(self, batch)
        if not self.automatic_optimization:
            optimizer = self.optimizers()
            optimizer.zero_grad()
            self.manual_backward(loss)
            optimizer.step()
        self.log("loss", loss.detach())
        return loss

    def on_train_batch_end(self, outputs, batch, at):
        if self.agent is not None:
            self.agent.observe(outputs["loss"], batch)


def fitted(module, **options):
    torch.manual_seed(1)
    loader = torch.utils.data.DataLoader(models.batches(STEPS), batch_size=None)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        lightning.Trainer(
            max_epochs=1,
            accelerator="cpu",
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            **options,
        ).fit(module, loader)
    if module.agent is None:
        return ends(module), []
    module.agent.close()
    return ends(module), [each.verdict for each in module.agent.decisions]


def made(source=None, **options):
    torch.manual_seed(0)
    return Module(source, **options)


TRAINERS = {
    "plain": ({}, {}),
    "clipped": ({}, {"gradient_clip_val": 1.0}),
    "bfloat16": ({}, {"precision": "bf16-mixed"}),
    "accumulating": ({}, {"accumulate_grad_batches": 2}),
    "scheduled": ({"schedule": True}, {}),
    "manual": ({"manual": True}, {}),
}


@pytest.mark.parametrize("execution", MODES)
@pytest.mark.parametrize("name", TRAINERS)
def test_lightning_trains_as_without_an_agent_that_applies_nothing(name, execution):
    of_module, of_trainer = TRAINERS[name]
    expected, _ = fitted(made(**of_module), **of_trainer)

    found, verdicts = fitted(
        made(EXPLODES, execution=execution, **of_module), **of_trainer
    )

    assert verdicts and {"kept"} == set(verdicts)
    assert_same(expected, found)


@pytest.mark.parametrize("source", [GENTLE, IGNORES_ITS_CLOSURE])
@pytest.mark.parametrize("name", TRAINERS)
def test_a_rule_does_the_same_in_lightning_wherever_it_runs(name, source):
    of_module, of_trainer = TRAINERS[name]
    bare, _ = fitted(made(**of_module), **of_trainer)
    expected, inline = fitted(
        made(source, execution="inline", accept="finite", **of_module), **of_trainer
    )

    found, isolated = fitted(
        made(source, execution="isolated", accept="finite", **of_module), **of_trainer
    )

    assert inline == isolated
    assert "rolled_back" not in inline
    assert_same(expected, found)
    if "applied" in inline:
        assert any(not torch.equal(bare[key], found[key]) for key in found)
    else:
        assert source == IGNORES_ITS_CLOSURE  # refused in the dry run, aloud


def test_a_module_that_holds_its_agent_is_copied_for_a_dry_run():
    module = made(GENTLE)

    _, verdicts = fitted(module)

    assert "applied" in verdicts
    assert isinstance(module.net, nn.Module)
