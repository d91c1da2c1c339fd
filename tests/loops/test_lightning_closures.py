"""Lightning always passes a closure, and wants it called or says so."""

import warnings

import pytest
import torch

from tests import models
from tests.loops import rules
from tests.talking import agent_over

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    lightning = pytest.importorskip("lightning")

pytestmark = pytest.mark.filterwarnings("ignore")

MODES = ["inline", "isolated"]
STEPS, DECISION = 12, 5


class Module(lightning.LightningModule):
    def __init__(self, model, optimizer, agent, *, manual=False):
        super().__init__()
        self.model = model
        self._given = optimizer
        self._agent = [agent]  # no attribute of a module is copied with it
        self.automatic_optimization = not manual
        self.losses = []

    def configure_optimizers(self):
        return self._given

    def training_step(self, batch, index):
        loss = models.objective(self.model, batch)
        if not self.automatic_optimization:
            optimizer = self.optimizers()
            optimizer.zero_grad()
            self.manual_backward(loss)
            optimizer.step()
        self.losses.append(float(loss.detach()))
        return loss

    def on_train_batch_end(self, outputs, batch, index):
        (agent,) = self._agent
        if self.automatic_optimization:
            agent.observe(outputs["loss"], batch)
        else:
            agent.observe(self.losses[-1], batch)
        if agent.step_count == DECISION and not agent.decisions:
            agent.decide()


def fit(module, batches=None, epochs=STEPS // 3, **options):
    trainer = lightning.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        **options,
    )
    data = models.batches() if batches is None else batches
    trainer.fit(module, torch.utils.data.DataLoader(data, batch_size=None))
    return module.losses


def trained(source, execution, **options):
    model = models.make("dropout")
    torch.manual_seed(3)
    with agent_over(model, source, execution=execution) as agent:
        losses = fit(Module(model, agent.optimizer, agent, **options))
        verdicts = [decision.verdict for decision in agent.decisions]
    return model, losses, verdicts


@pytest.fixture(scope="module")
def expected():
    return trained(rules.CALLS, "inline")


@pytest.mark.parametrize("execution", MODES)
@pytest.mark.parametrize("manual", [False, True], ids=["automatic", "manual"])
@pytest.mark.parametrize("name", [*rules.EQUAL_TO_CALLS])
def test_every_rule_trains_on_whatever_it_makes_of_lightnings_closure(
    execution, manual, name, expected
):
    if manual and name == "demands":
        pytest.skip("it needs a loss, and manual optimization gives none")

    model, losses, verdicts = trained(
        rules.EQUAL_TO_CALLS[name], execution, manual=manual
    )

    assert (STEPS, ["applied"]) == (len(losses), verdicts)
    assert expected[1] == losses
    assert all(map(torch.equal, expected[0].parameters(), model.parameters()))


@pytest.mark.parametrize("execution", MODES)
@pytest.mark.parametrize("name", list(rules.OTHERS))
def test_a_rule_with_a_way_of_its_own_trains_in_lightning(execution, name):
    _, losses, verdicts = trained(rules.OTHERS[name], execution)

    assert ["applied"] == verdicts
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("execution", MODES)
def test_a_rule_that_demands_a_loss_is_refused_in_manual_optimization(execution):
    _, losses, verdicts = trained(rules.DEMANDS, execution, manual=True)

    assert (STEPS, ["kept"]) == (len(losses), verdicts)


@pytest.mark.parametrize("execution", MODES)
def test_lightnings_divided_losses_are_told_in_the_objectives_scale(execution):
    model = models.make("mlp")
    batches = models.batches(24)
    with agent_over(model, rules.IGNORES, execution=execution) as agent:
        module = Module(model, agent.optimizer, agent)
        losses = fit(
            module, batches, epochs=2, accumulate_grad_batches=4, gradient_clip_val=0.1
        )
        decision, steps = agent.decisions[0], agent.step_count
        kept = agent.state_dict()

    means = [sum(losses[i : i + 4]) / 4 for i in range(0, len(losses), 4)]
    assert ("applied", 5, 12) == (decision.verdict, decision.step, steps)
    assert 1 / 4 == kept["loop"]["scale"]
    assert list(kept["watch"]["recent"]) == pytest.approx(means, rel=1e-4)
