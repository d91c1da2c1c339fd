"""`DuxCallback` in Lightning's trainer: the script that was there, and one line."""

import copy
import logging
import runpy
import sys
import warnings
from collections import Counter
from pathlib import Path

import pytest
import torch

from dux_agent import attach
from dux_agent.errors import BadArgument, MissingExtra
from tests import models
from tests.loops.ends import assert_same, ends
from tests.sources import EXPLODES, MOMENTUM
from tests.talking import scripted

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    lightning = pytest.importorskip("lightning")
    from lightning.pytorch import callbacks, loggers
    from lightning.pytorch.profilers import PassThroughProfiler

    from dux_agent.integrations.lightning import DuxCallback

pytestmark = pytest.mark.filterwarnings("ignore")

MODES = ("inline", "isolated")
STEPS = 16
GENTLE = MOMENTUM.replace("lr=0.05", "lr=0.01")


class Batches:
    """A loader that knows where it is, as a run that goes on in mid-epoch needs."""

    def __init__(self, count=STEPS):
        self.batches, self.at = models.batches(count), 0

    def __len__(self):
        return len(self.batches)

    def __iter__(self):
        self.at %= len(self.batches)
        while self.at < len(self.batches):
            self.at += 1
            yield self.batches[self.at - 1]

    def state_dict(self):
        return {"at": self.at}

    def load_state_dict(self, state):
        self.at = state["at"]


class Module(lightning.LightningModule):
    """Somebody's module, written without a thought of agents."""

    def __init__(self, *, manual=False, schedule=False, kind="mlp"):
        super().__init__()
        self.net = models.KINDS[kind]()
        self.automatic_optimization = not manual
        self.schedule = schedule
        self.losses = []

    def forward(self, inputs):
        return self.net(inputs)

    def configure_optimizers(self):
        optimizer = torch.optim.SGD(self.parameters(), lr=0.02, momentum=0.9)
        if not self.schedule:
            return optimizer
        made = torch.optim.lr_scheduler.StepLR(optimizer, 4, 0.5)
        return [optimizer], [{"scheduler": made, "interval": "step"}]

    def training_step(self, batch, batch_idx):
        loss = models.objective(self, batch)
        if not self.automatic_optimization:
            optimizer = self.optimizers()
            optimizer.zero_grad()
            self.manual_backward(loss)
            optimizer.step()
            if self.schedule:
                self.lr_schedulers().step()
        self.log("loss", loss.detach(), prog_bar=True)
        return loss

    def on_train_batch_end(self, outputs, batch, batch_idx):
        self.losses.append(float(outputs["loss"]))


def made(**options):
    torch.manual_seed(0)
    return Module(**options)


def trainer_with(*more, **options):
    options = {
        "max_epochs": 1,
        "accelerator": "cpu",
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        **options,
    }
    return lightning.Trainer(callbacks=[each for each in more if each], **options)


def fitted(module, callback=None, *more, ckpt_path=None, loader=None, **options):
    torch.manual_seed(1)
    trainer = trainer_with(callback, *more, **options)
    trainer.fit(module, loader or Batches(), ckpt_path=ckpt_path)
    return module


def callback_with(source, **options):
    options = {"every": 6, "max_attempts": 1, "execution": "inline", **options}
    options = {"lm": scripted(source), **options}
    return DuxCallback(**options)


def verdicts(callback):
    return [each.verdict for each in callback.agent.decisions]


TRAINERS = {
    "plain": ({}, {}),
    "dropout": ({"kind": "dropout"}, {}),
    "clipped": ({}, {"gradient_clip_val": 1.0}),
    "bfloat16": ({}, {"precision": "bf16-mixed"}),
    "true bfloat16": ({}, {"precision": "bf16-true"}),
    "float16 and a scaler": ({}, {"precision": "16-mixed"}),
    "accumulating": ({}, {"accumulate_grad_batches": 2, "max_epochs": 2}),
    "scheduled": ({"schedule": True}, {}),
    "manual": ({"manual": True}, {}),
    "manual and scheduled": ({"manual": True, "schedule": True}, {}),
}


@pytest.mark.parametrize("name", TRAINERS)
def test_losses_are_those_of_no_agent_while_it_decides_nothing(name):
    of_module, of_trainer = TRAINERS[name]
    expected = fitted(made(**of_module), **of_trainer)
    callback = callback_with(EXPLODES)

    found = fitted(made(**of_module), callback, **of_trainer)

    assert {"kept"} == set(verdicts(callback))
    assert expected.losses == found.losses
    assert_same(ends(expected), ends(found))


def plain_loop(source, *, schedule=False, execution="inline"):
    """The same training in a loop of one's own."""
    module, losses = made(schedule=schedule), []
    torch.manual_seed(1)
    base = torch.optim.SGD(module.parameters(), lr=0.02, momentum=0.9)
    agent = attach(
        module,
        base,
        lambda module, batch: models.objective(module, batch),
        lm=scripted(source),
        every=6,
        total_steps=STEPS,
        max_attempts=1,
        execution=execution,
    )
    scheduler = torch.optim.lr_scheduler.StepLR(agent.optimizer, 4, 0.5)
    for batch in models.batches(STEPS):
        agent.optimizer.zero_grad()
        loss = models.objective(module, batch)
        loss.backward()
        agent.optimizer.step()
        if schedule:
            scheduler.step()
        agent.observe(loss, batch)
        losses.append(float(loss))
    agent.close()
    return losses, ends(module)


@pytest.mark.parametrize("execution", MODES)
@pytest.mark.parametrize(("schedule", "manual"), [(True, False), (False, True)])
def test_a_rule_does_what_it_does_in_a_plain_loop(execution, schedule, manual):
    losses, weights = plain_loop(GENTLE, schedule=schedule, execution=execution)
    callback = callback_with(GENTLE, execution=execution)

    found = fitted(made(manual=manual, schedule=schedule), callback)

    assert ["applied", "applied"] == verdicts(callback)
    assert losses == found.losses
    assert_same(weights, ends(found))


def test_accumulated_losses_are_told_once_a_step_in_the_objectives_scale():
    callback = callback_with(GENTLE, every=3)

    module = fitted(made(), callback, accumulate_grad_batches=4)

    losses = [4 * loss for loss in module.losses]
    means = [sum(losses[at : at + 4]) / 4 for at in range(0, len(losses), 4)]
    kept = callback.agent.state_dict()
    assert STEPS // 4 == callback.agent.step_count
    assert means[3:] == pytest.approx(list(kept["watch"]["recent"])[3:], rel=1e-6)


class Pair(lightning.LightningModule):
    """Two halves that train against each other, one of them twice as often."""

    def __init__(self):
        super().__init__()
        self.automatic_optimization = False
        self.maker = torch.nn.Linear(6, 6)
        self.judge = torch.nn.Linear(6, 1)

    def configure_optimizers(self):
        return [
            torch.optim.SGD(self.maker.parameters(), lr=0.02),
            torch.optim.SGD(self.judge.parameters(), lr=0.02),
        ]

    def training_step(self, batch, batch_idx):
        maker, judge = self.optimizers()
        inputs, targets = batch
        for each, sign in ((judge, 1.0), (judge, 1.0), (maker, -1.0)):
            self.toggle_optimizer(each)
            loss = (sign * self.judge(self.maker(inputs)) - targets).square().mean()
            each.zero_grad()
            self.manual_backward(loss)
            each.step()
            self.untoggle_optimizer(each)


def pair():
    torch.manual_seed(0)
    return Pair()


def test_each_of_several_optimizers_has_an_agent_by_its_name():
    expected = fitted(pair())
    kept = callback_with(EXPLODES)
    applied = callback_with(GENTLE, accept="finite")

    bare, found = fitted(pair(), kept), fitted(pair(), applied)

    assert ["maker", "judge"] == list(kept.agents)
    assert_same(ends(expected), ends(bare))
    for name in ("maker", "judge"):
        decisions = applied.agents[name].decisions
        assert decisions and {"applied"} == {each.verdict for each in decisions}
    assert (16, 32) == tuple(each.step_count for each in applied.agents.values())
    assert any(
        not torch.equal(one, other)
        for one, other in zip(
            ends(expected).values(), ends(found).values(), strict=True
        )
    )


@pytest.mark.parametrize("objective", [None, "of the caller"])
def test_the_scale_of_several_optimizers_is_not_guessed(caplog, objective):
    def for_both(module, batch):
        inputs, targets = batch
        return (module.judge(module.maker(inputs)) - targets).square().mean()

    given = objective and {"maker": for_both, "judge": for_both}
    callback = callback_with(EXPLODES, objective=given, every=None)
    seen = []

    class Told(Pair):
        def training_step(self, batch, batch_idx):
            self.sums = {}
            super().training_step(batch, batch_idx)
            if self.sums:  # else it is a copy's, which steps nothing
                seen.append(self.sums)

        def manual_backward(self, loss):
            name = "judge" if self.judge.weight.requires_grad else "maker"
            self.sums[name] = self.sums.get(name, 0.0) + float(loss.detach())
            super().manual_backward(loss)

    torch.manual_seed(0)
    with caplog.at_level(logging.WARNING, logger="dux_agent"):
        fitted(Told(), callback)

    assert not caplog.records
    # What the training step comes to as an objective: both of the judge's losses.
    times = {"maker": 1, "judge": 2 if objective else 1}
    for name, agent in callback.agents.items():
        told = list(agent.state_dict()["watch"]["recent"])
        expected = [each[name] / times[name] for each in seen]
        assert expected[-len(told) :] == pytest.approx(told, rel=1e-6)


def test_an_objective_of_none_leaves_an_optimizer_alone_and_others_must_be_named():
    def for_the_judge(module, batch):
        return (module.judge(module.maker(batch[0])) - batch[1]).square().mean()

    callback = callback_with(GENTLE, objective={"maker": None, "judge": for_the_judge})
    wrong = callback_with(GENTLE, objective=for_the_judge)

    fitted(pair(), callback)

    assert ["judge"] == list(callback.agents)
    assert "applied" in verdicts(callback)
    with pytest.raises(BadArgument, match="one for each of maker, judge was wanted"):
        fitted(pair(), wrong)


class Holding(Module):
    """Attaches by itself and keeps its agent."""

    def configure_optimizers(self):
        base = super().configure_optimizers()
        self.agent = attach(
            self,
            base,
            models.objective,
            lm=scripted(GENTLE),
            every=6,
            max_attempts=1,
        )
        return self.agent.optimizer


def test_a_module_that_holds_its_agent_keeps_it():
    expected = callback_with(GENTLE)
    twin = fitted(made(), expected)
    torch.manual_seed(0)
    module, callback = Holding(), DuxCallback()

    fitted(module, callback)

    assert module.agent is callback.agent and module.agent.closed
    assert verdicts(expected) == verdicts(callback)
    assert twin.losses == module.losses


def shuffled():
    return torch.utils.data.DataLoader(
        models.batches(STEPS), batch_size=None, shuffle=True
    )


@pytest.mark.parametrize(
    ("at", "execution", "loader", "options"),
    [
        (7, "inline", Batches, {"kind": "dropout", "schedule": True}),
        (7, "isolated", Batches, {"kind": "dropout", "schedule": True}),
        (13, "inline", Batches, {"kind": "dropout", "manual": True}),
        (16, "isolated", shuffled, {"kind": "dropout"}),
        (16, "inline", shuffled, {"manual": True, "schedule": True}),
    ],
)
def test_a_run_that_died_goes_on_to_the_last_bit(
    tmp_path, at, execution, loader, options
):
    def callback():
        return callback_with(GENTLE, every=5, execution=execution)

    def saving(folder):
        return callbacks.ModelCheckpoint(
            folder, every_n_train_steps=at, save_top_k=-1, filename="{step}"
        )

    fit = {"max_epochs": 2, "enable_checkpointing": True}
    again = saving(tmp_path / "again")
    first, second = callback(), callback()
    whole = fitted(made(**options), first, saving(tmp_path), loader=loader(), **fit)
    kept = tmp_path / f"step={at}.ckpt"
    module = Module(**options)
    torch.manual_seed(99)

    fitted(module, second, again, ckpt_path=kept, loader=loader(), **fit)

    assert whole.losses[at:] == module.losses
    assert_same(ends(whole), ends(module))
    assert verdicts(first) == verdicts(second)
    assert 2 * STEPS == second.agent.step_count


def test_a_checkpoint_is_loaded_where_there_is_no_dux_agent(tmp_path):
    callback = callback_with(GENTLE)
    trainer = trainer_with(callback)
    trainer.fit(made(schedule=True), Batches())
    trainer.save_checkpoint(tmp_path / "end.ckpt")
    saved = torch.load(tmp_path / "end.ckpt", weights_only=True)
    weights = [torch.nn.Parameter(each) for each in saved["state_dict"].values()]
    optimizer = torch.optim.SGD(weights, lr=1.0, momentum=0.9)

    optimizer.load_state_dict(saved["optimizer_states"][0])
    for each in weights:
        each.grad = torch.ones_like(each)
    optimizer.step()
    alone = fitted(made(schedule=True), ckpt_path=tmp_path / "end.ckpt", max_epochs=2)

    assert "applied" in verdicts(callback)
    assert 0.02 * 0.5**4 == optimizer.param_groups[0]["lr"]
    assert STEPS == len(alone.losses)


def test_schedulers_are_pointed_at_the_live_optimizer():
    seen = []

    class Looking(callbacks.Callback):
        def on_train_start(self, trainer, module):
            seen.append(trainer.lr_scheduler_configs[0].scheduler.optimizer)
            seen.append(trainer.optimizers[0])

    callback = callback_with(GENTLE)
    fitted(made(schedule=True), callback, Looking())

    assert all(each is callback.agent.optimizer for each in seen)


def test_decisions_are_in_the_loggers_and_in_the_progress_bar(tmp_path):
    shown = {}

    class Looking(callbacks.Callback):
        def on_train_epoch_end(self, trainer, module):
            shown.update(trainer.progress_bar_metrics)

    written = loggers.CSVLogger(tmp_path)
    callback = callback_with(GENTLE)

    fitted(made(), callback, Looking(), logger=written)

    text = Path(written.log_dir, "metrics.csv").read_text()
    assert "dux/seconds" in text and "dux/learning_rate" in text
    assert 2.0 == shown["dux/applied"] == shown["dux/decision"]


def test_it_is_closed_after_the_training_and_after_an_error():
    class Failing(Module):
        def on_train_batch_end(self, outputs, batch, batch_idx):
            raise KeyError("somebody's mistake")

    ended, failed = callback_with(GENTLE), callback_with(GENTLE)
    fitted(made(), ended)

    with pytest.raises(KeyError, match="somebody's mistake"):
        fitted(Failing(), failed)

    assert ended.agent.closed and failed.agent.closed


class Spoiling(Pair):
    """It leaves in the state of both what no rule may keep: each close says so."""

    def on_train_end(self):
        for each in self.optimizers():
            parameter = each.param_groups[0]["params"][0]
            each.state[parameter]["thing"] = object()


class SpoilingAndFailing(Spoiling):
    def on_train_end(self):
        super().on_train_end()
        raise KeyError("somebody's mistake")


@pytest.mark.parametrize("kind", [Spoiling, SpoilingAndFailing])
def test_all_agents_are_closed_whatever_one_of_them_raises(kind):
    callback = callback_with(GENTLE, accept="finite", execution="isolated")
    said = "of parameter 0 cannot be" if kind is Spoiling else "somebody's mistake"

    with pytest.raises((ValueError, KeyError), match=said) as raised:
        fitted(kind(), callback)

    agents = callback.agents
    assert [True, True] == [each.closed for each in agents.values()]
    noted = [n for n in raised.value.__notes__ if "As the agent was closed" in n]
    assert len(noted) == (1 if kind is Spoiling else 2)
    for each in agents.values():  # its process has ended
        with pytest.raises(RuntimeError, match="closed"):
            each.optimizer.step()


@pytest.mark.parametrize("objective", [42, "loss", {"generator": None, "critic": 1}])
def test_an_objective_that_cannot_be_called_is_refused_at_once(objective):
    with pytest.raises(BadArgument, match=r"objective is a .*a callable"):
        DuxCallback(objective)


def test_the_example_trains(capsys):
    example = Path(__file__).parents[2] / "examples" / "lightning_run.py"

    runpy.run_path(str(example), run_name="__main__")

    printed = capsys.readouterr().out
    assert "step 40: applied" in printed
    assert float(printed.split()[-1]) < 0.3


def test_without_lightning_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "lightning.pytorch.callbacks", None)

    with pytest.raises(MissingExtra, match=r"pip install 'dux-agent\[lightning\]'$"):
        runpy.run_module("dux_agent.integrations.lightning")


def test_a_callback_can_be_copied_before_a_training():
    assert copy.deepcopy(DuxCallback(every=5)).agents == {}


def test_evaluation_asks_for_no_agent(caplog):
    caplog.set_level(logging.WARNING)

    class Evaluated(Module):
        def test_step(self, batch, batch_idx):
            return models.objective(self, batch)

    callback = DuxCallback(every=5)
    trainer_with(callback).test(Evaluated(), Batches(), verbose=False)

    with pytest.raises(BadArgument, match="call trainer.fit first"):
        _ = callback.agent


@pytest.mark.parametrize("manual", [False, True])
def test_hooks_of_a_subclass_are_called_in_every_step(manual):
    called = Counter()

    class Counting(DuxCallback):
        def on_after_backward(self, trainer, pl_module):
            called["after_backward"] += 1

        def on_before_optimizer_step(self, trainer, pl_module, optimizer):
            called["before_step"] += 1
            super().on_before_optimizer_step(trainer, pl_module, optimizer)

    callback = Counting(lm="offline")
    steps = len(fitted(made(manual=manual), callback).losses)

    assert {"after_backward": steps, "before_step": steps} == called
    assert steps == callback.agent.step_count


def test_a_callback_serves_a_manual_training_after_an_automatic_one():
    callback = DuxCallback(lm="offline")

    fitted(made(), callback)
    second = fitted(made(manual=True), callback)

    assert len(second.losses) == callback.agent.step_count


class Changing(Module):
    """Optimizes by itself in its second epoch."""

    def on_train_epoch_start(self):
        self.automatic_optimization = self.current_epoch == 0


def test_a_step_of_lightnings_own_calls_one_hook_of_the_callback():
    called = []

    class Noting(PassThroughProfiler):
        def start(self, name):
            if name.startswith("[Callback]DuxCallback."):
                called.append(name.rpartition(".")[2])

    callback = DuxCallback(lm="offline")

    fitted(made(), callback, profiler=Noting())

    often = {name: count for name, count in Counter(called).items() if count > 1}
    assert {"on_train_batch_end": STEPS} == often


def test_a_module_that_begins_to_optimize_by_itself_is_heard_to_the_end():
    torch.manual_seed(0)
    module, callback = Changing(), DuxCallback(lm="offline")

    fitted(module, callback, max_epochs=2)

    assert 2 * STEPS == callback.agent.step_count
    recent = list(callback.agent.training.statistics.recent)
    assert module.losses == pytest.approx(recent, rel=1e-6)
