"""Trainings of several ranks: `python -m tests.ranks.trainings` is one of them."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from datetime import timedelta
from pathlib import Path

import pytest
import torch
from langchain_core.language_models.chat_models import BaseChatModel
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from dux_agent import attach
from dux_agent.deciding import going_live
from dux_agent.training.loss_feed import LossFeed
from dux_sandbox.findings import Finding, RuleFailed
from dux_sandbox.recorded.kernels import compiling
from dux_sandbox.recorded.tape import Unrecordable
from dux_sandbox.replaying import rule
from tests import models, rule_with_sensors
from tests.late_device import LateDevice
from tests.ranks import parts, shardings
from tests.sources import MOMENTUM, SGD
from tests.talking import Scripted, scripted

MOST_SECONDS = 40  # that a rank waits for the gradients of another

GENTLE = MOMENTUM.replace("lr=0.05", "lr=0.01")


class Branching(nn.Module):
    """Has a half that no loss comes from."""

    def __init__(self):
        super().__init__()
        self.used, self.unused = models.mlp(), nn.Linear(6, 6)

    def forward(self, inputs):
        return self.used(inputs)


class Patient(Scripted):
    """Thinks until its file is there, or it is told to stop: a slow model."""

    until: str

    def _generate(self, *given, **named):
        wait = threading.Event()
        while not Path(self.until).exists():
            wait.wait(0.05)
        return super()._generate(*given, **named)


def training(
    rank,
    lm,
    *,
    first=0,
    steps,
    every,
    branching=False,
    plant=None,
    group=None,
    **options,
):
    """Train as rank `rank`; what came of it, as plain data."""
    torch.manual_seed(0)
    inner = Branching() if branching else models.mlp()
    model = DistributedDataParallel(
        inner, process_group=group, find_unused_parameters=branching
    )
    base = torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9)
    options = {"execution": "inline", "max_attempts": 1, "dry_run_steps": 3, **options}
    agent = attach(model, base, models.objective, lm=lm, every=every, **options)
    batches = models.batches(7)
    told, losses = [], []
    for step in range(first, steps):
        if plant is not None:
            plant(agent, step)
        batch = batches[(2 * step + rank) % len(batches)]
        agent.optimizer.zero_grad()
        loss = models.objective(model, batch)
        loss.backward()
        agent.optimizer.step()
        spike = getattr(agent, "spike", 0.0)
        agent.spike = 0.0
        agent.observe(loss.detach() + spike, batch)
        losses.append(float(loss))
        if not told or told[-1][1:] != verdicts(agent):
            told.append([agent.step_count, *verdicts(agent)])
    agent.close()
    weights = [each.detach().flatten().tolist() for each in inner.parameters()]
    return {
        "weights": weights,
        "verdicts": told,
        "reasons": [each.reason for each in agent.decisions],
        "asked": len(lm.asked) if isinstance(lm, Scripted) else None,
        "live": agent.optimizer.running.digest,
        "recent": list(agent.training.statistics.recent),
    }


def verdicts(agent):
    return [each.verdict for each in agent.decisions]


def replies(rank, **options):
    """Each rank's model would say something else."""
    own = GENTLE.replace("0.01", f"0.01{rank}")
    return training(rank, scripted(own, SGD, own), steps=200, every=40, **options)


def sensed(rank):
    """What a rule with sensors is told before each step, as this rank has it."""
    seen = []

    def plant(agent, step):
        sensing = getattr(agent.optimizer.running, "sensing", None)
        if sensing is not None:
            seen.append(sensing.values())

    options = {"execution": "recorded", "total_steps": 24, "accept": "finite"}
    lm = scripted(rule_with_sensors.SOURCE.replace("lr=0.1", "lr=0.01"))
    told = training(rank, lm, steps=24, every=10, plant=plant, **options)
    return {**told, "seen": seen}


def isolated(rank):
    """Rules in processes of their own, and a half of the model without gradients."""
    lm = scripted(GENTLE, SGD)
    options = {"branching": True, "execution": "isolated"}
    return training(rank, lm, steps=30, every=10, **options)


def spike(rank):
    """The loss of rank 1 alone goes out of bounds while a rule is live."""

    def plant(agent, step):
        if rank == 1 and step == 14:
            agent.spike = 1e6

    return training(rank, scripted(GENTLE), steps=30, every=10, plant=plant)


def unbuilt(rank):
    """Rank 1 cannot build the rule."""

    def plant(agent, step):
        if rank == 1 and step == 0:
            agent.optimizer.build = refuse

    return training(rank, scripted(GENTLE), steps=15, every=10, plant=plant)


def refuse(source, groups):
    raise RuleFailed(Finding("died", None, "the process of rank 1 is out of memory"))


def fault(rank):
    """The rule fails in a step of rank 1's, and in none of rank 0's."""

    def plant(agent, step):
        if rank == 1 and step == 13:
            agent.optimizer.running.step = lambda closure=None: refuse(None, None)

    return training(rank, scripted(GENTLE), steps=20, every=10, plant=plant)


def saved(rank):
    """The rule's process is found dead while rank 0 alone saves."""

    def plant(agent, step):
        if rank == 0 and step == 13:
            agent.optimizer.guard.breach("its process has died")

    return training(rank, scripted(GENTLE), steps=20, every=10, plant=plant)


def apart(rank):
    """Ranks that train alone: their weights are different."""

    def plant(agent, step):
        if step == 5:
            with torch.no_grad():
                next(agent.model.parameters()).add_(rank)

    return training(rank, scripted(GENTLE), steps=12, every=10, plant=plant)


def spoilt(rank, *of):
    """Weights that are not finite on some ranks when a decision is due."""

    def plant(agent, step):
        if step == 9 and rank in of:
            first = next(agent.model.parameters())
            agent.optimizer.register_step_post_hook(
                lambda *_: first.data.fill_(torch.inf)
            )

    return training(rank, scripted(GENTLE), steps=10, every=10, plant=plant)


def uneven(rank):
    """A loop inside `join`, where one rank may have fewer batches."""

    def plant(agent, step):
        if step == 3:
            agent.model.join().__enter__()

    return training(rank, scripted(GENTLE), steps=10, every=10, plant=plant)


def slow(rank, until):
    """A decision that takes as long as somebody wants, and gradients that may not."""
    lm = Patient(replies=scripted(GENTLE).replies, until=until)
    group = torch.distributed.new_group(timeout=timedelta(seconds=MOST_SECONDS))
    return training(rank, lm, steps=12, every=10, group=group)


def killed_while_deciding(rank, until):
    """Rank 1 is killed while rank 0 waits for a model that never answers."""
    lm = Patient(replies=[""], until=until)

    def plant(agent, step):
        if rank == 1 and step == 5:
            gather = agent._ranks.gather

            def last(value):
                if value == 1.0:  # it has done its part, and rank 0 has not
                    os.kill(os.getpid(), signal.SIGKILL)
                return gather(value)

            agent._ranks.gather = last

    return training(rank, lm, steps=12, every=10, plant=plant)


def killed(rank):
    """Rank 1 is killed between two steps."""

    def plant(agent, step):
        if rank == 1 and step == 5:
            os.kill(os.getpid(), signal.SIGKILL)

    return training(rank, scripted(GENTLE), steps=12, every=10, plant=plant)


def ended_before_swap(rank, how):
    """All have built the rule; then rank 1 is killed, or finds no memory to swap it."""

    def end(*given, **named):
        if how == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        raise MemoryError("no room for another snapshot")

    with pytest.MonkeyPatch.context() as patched:
        if rank == 1:
            patched.setattr(going_live, "swap", end)
        return training(rank, scripted(GENTLE), steps=12, every=10)


def left(rank, heard):
    """The loop of rank 1 ends by an exception before a step; its process lives on."""

    def plant(agent, step):
        def end(*_):
            with pytest.raises(KeyError), agent:
                raise KeyError("the loop's own")
            while not Path(heard).exists():
                threading.Event().wait(0.05)

        if rank == 1 and step == 5:
            agent.optimizer.register_step_pre_hook(end)

    try:
        return training(rank, scripted(GENTLE), steps=12, every=10, plant=plant)
    finally:
        Path(heard).touch()


class Broken(BaseChatModel):
    """A model of rank 0's whose objective fails in the dry run."""

    @property
    def _llm_type(self):
        return "broken"

    def _generate(self, *given, **named):
        raise AssertionError("nobody asks it")


def mistaken(rank):
    """The objective of rank 0 fails in the dry run: the user's own mistake."""
    calls = []

    def validate(model):
        calls.append(1)
        if len(calls) > 1:
            raise KeyError("the validation set is gone")
        return 1.0

    return training(rank, Broken(), steps=12, every=10, validate=validate)


# Of other bits by kernels, in plain torch and isolated; another program after 4 steps.
WARMS_UP = """
import torch


class WarmsUp(torch.optim.Optimizer):
    def __init__(self, params, lr=0.004):
        super().__init__(params, dict(lr=lr))
        self.t = 0

    @torch.no_grad()
    def step(self, closure=None):
        self.t += 1
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state[p]
                m = state.setdefault("m", torch.zeros_like(p))
                v = state.setdefault("v", torch.zeros_like(p))
                m.lerp_(p.grad, 0.1)
                v.lerp_(p.grad.pow(2), 0.01)
                u = torch.sigmoid(m / (v.sqrt() + 1e-8)) - 0.5
                u = u / (u.pow(2).sum().sqrt() + 1e-3)
                if self.t > 4:
                    u = u * 0.99 + 0.01 * torch.tanh(m)
                p.sub_(group["lr"] * u)
"""


def executed(rank, at, plant):
    """Recorded on both, until rank 1 meets what speaks against it in a step."""
    ran = []

    def look(agent, step):
        if rank == 1 and step == at:
            plant(agent)
        running = agent.optimizer.running
        ran.append(getattr(running, "mode", None))

    lm = scripted(WARMS_UP, GENTLE)
    options = {"execution": "recorded", "plant": look}
    return {**training(rank, lm, steps=30, every=10, **options), "ran": ran}


def fallen(rank):
    """The process that records is gone when another program is wanted."""
    return executed(rank, 12, lambda agent: agent.optimizer.running._process.close())


def unrecorded(rank):
    """What rank 1 has built cannot be recorded there."""
    with pytest.MonkeyPatch.context() as patched:

        def prove(*given):
            raise Unrecordable("is another machine's", None)

        return executed(rank, 0, lambda _: patched.setattr(rule, "prove", prove))


def uncompiled(rank):
    """Rank 1 has no compiler."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(compiling, "LOADED", {})
        return executed(
            rank, 0, lambda _: patched.setattr(compiling, "compiler", lambda: None)
        )


def late(rank, harm):
    """Of a late device: a step leaves weights that are not finite on rank 1 alone."""

    def plant(agent, step):
        if step == 0:
            come_late(agent)
        if rank == 1 and step == harm:
            spoil_next(agent)

    return training(rank, scripted(GENTLE, SGD), steps=24, every=10, plant=plant)


def come_late(agent):
    agent.training.feed = LossFeed(LateDevice())
    agent.optimizer.guard.read = LateDevice()


def spoil_next(agent):
    """The next step of this rank leaves weights that are not finite."""
    first = next(agent.model.parameters())

    def spoil(*_):
        hook.remove()
        first.grad.fill_(torch.nan)

    hook = agent.optimizer.register_step_pre_hook(spoil)


def saving(rank, asks, folder, *who):
    """Of a late device: some ranks save now and then, once over spoilt weights."""

    def plant(agent, step):
        if step == 0:
            come_late(agent)
        if step == 13:
            spoil_next(agent)
        if rank in who and step in (6, 14, 17):
            saved = {"model": agent.model.state_dict(), "agent": agent.state_dict()}
            torch.save(saved, f"{folder}/{step}-{rank}")

    lm = scripted(GENTLE, SGD) if asks else None
    return training(rank, lm, steps=24, every=10, plant=plant)


def resumed(rank, folder, step, *who):
    """Go on from what a rank has saved, each with its own where it has."""
    own = rank if rank in who else 0
    saved = torch.load(f"{folder}/{step}-{own}", weights_only=True)

    def plant(agent, at):
        if at == step:
            come_late(agent)
            agent.model.load_state_dict(saved["model"])
            agent.load_state_dict(saved["agent"])

    lm = scripted(SGD)
    return training(rank, lm, first=step, steps=24, every=10, plant=plant)


def main(rank, count, where, out, scenarios):
    torch.distributed.init_process_group(
        "gloo", init_method=where, rank=rank, world_size=count
    )
    for name, *given in scenarios:
        try:
            known = globals().get(name) or getattr(shardings, name, None)
            known = known or getattr(parts, name)
            done = known(rank, *given)
        except Exception as error:
            done = {"error": f"{type(error).__name__}: {error}"}
        with open(out, "a") as told:
            told.write(json.dumps(done) + "\n")
        if "error" in done:
            break
    # A group that has lost a rank does not end well.
    os._exit(0)


if __name__ == "__main__":
    *_, out, scenarios = sys.argv
    if "TORCHELASTIC_RUN_ID" in os.environ:
        rank, count = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
        main(rank, count, "env://", f"{out}-{rank}", json.loads(scenarios))
    else:
        rank, count, store = sys.argv[1:4]
        main(int(rank), int(count), f"file://{store}", out, json.loads(scenarios))
