"""A LightningModule attached to a trainer, with an agent of its own, in dry runs."""

import warnings

import pytest
import torch
from torch import nn

from dux_agent import attach
from tests import models
from tests.swapping import SGD, after
from tests.talking import scripted, sgd

lightning = pytest.importorskip("lightning")

EXECUTIONS = ("inline", "isolated")
REFUSED = after(2, 'p.fill_(float("nan"))')


class Experiment:
    """A logger's file: what is written there is the training's."""

    def __init__(self):
        self.lock = __import__("threading").Lock()  # as real ones have; no copy
        self.written = []

    def add_scalar(self, name, value, step):
        self.written.append((name, float(value), step))


class Logger(lightning.pytorch.loggers.logger.Logger):
    name, version = "mine", 0

    def __init__(self):
        super().__init__()
        self.experiment = Experiment()

    def log_metrics(self, metrics, step=None):
        self.experiment.written.append(("metrics", dict(metrics), step))

    def log_hyperparams(self, *arguments, **options):
        pass


class Net(lightning.LightningModule):
    """Keeps its agent, logs, and reads its trainer in `training_step`."""

    def __init__(self, sources, execution):
        super().__init__()
        self.net = models.make("dropout")
        self.sources = sources
        self.execution = execution
        self.agent = None
        self.losses = []

    def training_step(self, batch, batch_idx):
        loss = models.objective(self.net, batch)
        scale = 1 + self.trainer.current_epoch / self.trainer.max_epochs
        self.log("loss", loss)
        self.log_dict({"twice": 2 * loss})
        self.logger.experiment.add_scalar("raw", loss, self.trainer.global_step)
        return loss * scale

    def configure_optimizers(self):
        base = sgd(self)
        if self.sources is None:
            return base
        self.agent = attach(
            self,
            base,
            lambda model, batch: model.training_step(batch, 0),
            lm=scripted(*self.sources),
            every=4,
            max_attempts=1,
            execution=self.execution,
        )
        return self.agent.optimizer

    def on_train_batch_end(self, outputs, batch, batch_idx):
        self.losses.append(float(outputs["loss"]))
        if self.agent is not None:
            self.agent.observe(outputs["loss"], batch)


def fit(sources, execution="inline"):
    torch.manual_seed(0)
    net, logger = Net(sources, execution), Logger()
    trainer = lightning.Trainer(
        max_epochs=4,
        accelerator="cpu",
        logger=logger,
        log_every_n_steps=1,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer.fit(net, torch.utils.data.DataLoader(models.batches(), batch_size=None))
    decisions = [] if net.agent is None else list(net.agent.decisions)
    if net.agent is not None:
        net.agent.close()
    return net, logger.experiment.written, decisions


@pytest.mark.parametrize("execution", EXECUTIONS)
def test_refused_decisions_leave_training_and_log_as_without_an_agent(execution):
    plain, written, _ = fit(None)

    net, same, decisions = fit([REFUSED, REFUSED + "# again\n"], execution)

    assert {"kept"} == {each.verdict for each in decisions}
    assert {"dry_run"} == {decisions[0].attempts[0]["stage"]}
    assert plain.losses == net.losses
    assert written == same
    assert all(map(torch.equal, plain.parameters(), net.parameters()))


def test_an_applied_rule_has_the_same_losses_in_either_execution():
    inline, _, decided = fit([SGD], "inline")
    isolated, _, same = fit([SGD], "isolated")

    assert "applied" == decided[0].verdict == same[0].verdict
    assert inline.losses == isolated.losses


def test_a_module_without_a_trainer_logs_nothing_and_warns_of_nothing():
    class Bare(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.net = nn.Linear(6, 1)

        def training_step(self, batch):
            loss = models.objective(self.net, batch)
            self.log("loss", loss)
            return loss

    net = Bare()
    with attach(
        net, sgd(net), lambda model, batch: model.training_step(batch), lm=scripted(SGD)
    ) as agent:
        agent.observe(1.0, models.batches()[0])

        assert "applied" == agent.decide().verdict


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_what_fabric_has_set_up_is_tried_in_its_precision(precision):
    fabric = lightning.Fabric(accelerator="cpu", devices=1, precision=precision)

    def losses(attached):
        torch.manual_seed(0)
        model = models.mlp()
        model, optimizer = fabric.setup(model, sgd(model))
        agent, found = None, []
        if attached:
            agent = attach(
                model, optimizer, models.objective, lm=scripted(SGD), every=3
            )
            optimizer = agent.optimizer
        for batch in models.batches(4):
            optimizer.zero_grad()
            loss = models.objective(model, batch)
            fabric.backward(loss)
            optimizer.step()
            found.append(float(loss))
            if attached:
                agent.observe(loss, batch)
        if attached:
            agent.close()
        return found, attached and [each.verdict for each in agent.decisions]

    expected, _ = losses(False)
    found, verdicts = losses(True)

    assert ["applied"] == verdicts
    assert expected[:3] == found[:3]
