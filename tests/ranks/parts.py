"""Trainings of sharded models that rank 0 cannot hold whole: all try on their parts."""

import os
import signal
from contextlib import contextmanager, nullcontext

import torch
from torch.distributed.fsdp import fully_shard

from dux_agent import attach
from dux_agent.training import process_ranks, whole_model
from tests import models
from tests.ranks.shardings import (
    GENTLE,
    NORMED,
    SMOOTHED,
    mesh_of,
    rows_of,
    weights_of,
)
from tests.sources import counting
from tests.talking import scripted

STEPS, EVERY = 8, 3
IN_THE_SECOND_STEP = 6  # of the first proposal: call of the objective on rank 1
DIVERGING = counting("p.sub_(100.0 * n * p.grad)", name="Diverging")
RAISING = counting("p.sub_(lr * p.grad.reshape(-7))", name="Raising")
# Writes where no gradient is, so that no loss tells.
SPOILING = GENTLE.replace(
    "if p.grad", "p[p > 50] = float('nan')\n                if p.grad"
)
SOURCES = {
    "all": [DIVERGING, RAISING, NORMED, SPOILING, GENTLE, SMOOTHED],
    "good": [GENTLE, SMOOTHED],
    "bad": [DIVERGING, RAISING] * 2,
}


class Spare(torch.nn.Tanh):
    """Has weights that no loss comes from; the largest is on the last rank."""

    def __init__(self):
        super().__init__()
        self.spare = torch.nn.Parameter(torch.tensor([1.0, 2.0, 3.0, 60.0]))


def made():
    torch.manual_seed(0)
    model = models.mlp()
    model[1] = Spare()
    return model


@contextmanager
def no_room():
    """Rank 0 has no memory for whole weights at a decision; nobody asks for any."""
    from torch.distributed.tensor import DTensor

    usual = whole_model.made_whole, DTensor.full_tensor

    def made_whole(model, live, *, keep, all_can):
        all_can("MemoryError: no room for all of it" if keep else None)

    def full_tensor(tensor, **_):
        raise AssertionError("all of a tensor was asked for")

    whole_model.made_whole, DTensor.full_tensor = made_whole, full_tensor
    try:
        yield
    finally:
        whole_model.made_whole, DTensor.full_tensor = usual


def on_parts(rank, name, execution="inline", hybrid=False, **options):
    """Tried on parts, since rank 0 cannot hold the whole."""
    return trained(rank, name, execution, mesh_of(hybrid), no_room(), **options)


def on_wholes(rank, name):
    """Tried on a whole copy."""
    return trained(rank, name, "inline", mesh_of(False), nullcontext())


def trained(
    rank, name, execution, mesh, room, *, objective=models.objective, **options
):
    """Train a sharded model; what came of it, as plain data."""
    count = torch.distributed.get_world_size()
    model = made()
    fully_shard(model[0], mesh=mesh)
    fully_shard(model, mesh=mesh)
    base = torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9)
    closure = options.pop("closure", False)
    given = {"max_attempts": 5, "dry_run_steps": 3, "execution": execution, **options}
    given |= {"lm": scripted(*SOURCES[name]), "every": EVERY} if name else {"lm": None}
    batches = models.batches(5)
    with room, attach(model, base, objective, **given) as agent:
        for step in range(STEPS):
            batch = rows_of(batches[step % len(batches)], rank, count)

            def passes(batch=batch):
                agent.optimizer.zero_grad()
                loss = models.objective(model, batch)
                loss.backward()
                return loss

            if closure:
                loss = agent.optimizer.step(passes)
            else:
                loss = passes()
                agent.optimizer.step()
            agent.observe(loss.detach(), batch)
    tried = [attempt["findings"] for d in agent.decisions for attempt in d.attempts]
    state = base.state_dict()["state"].values()
    return {
        "verdicts": [each.verdict for each in agent.decisions],
        "reasons": [each.reason for each in agent.decisions],
        "found": [[each["rule"] for each in findings] for findings in tried],
        "said": [each["message"] for findings in tried for each in findings],
        "weights": weights_of(model),
        "momentum": [whole_of(each["momentum_buffer"]) for each in state if each],
        "random": torch.get_rng_state().tolist(),
    }


def whole_of(tensor):
    return getattr(tensor, "full_tensor", lambda: tensor)().flatten().tolist()


def failing(rank, error):
    """The objective of rank 1 raises in one call of a dry run, before it runs."""
    # So long do the others wait for it in the middle of a pass.
    process_ranks.PATIENCE, usual = 2, process_ranks.PATIENCE
    calls = []

    def objective(model, batch):
        calls.append(1)
        if rank == 1 and len(calls) == IN_THE_SECOND_STEP:
            raise {"value": ValueError, "memory": MemoryError, "key": KeyError}[error](
                "it cannot be"
            )
        return models.objective(model, batch)

    try:
        return on_parts(rank, "good", objective=objective)
    finally:
        process_ranks.PATIENCE = usual


def killed_on_parts(rank):
    """Rank 1 is killed in a dry run."""
    calls = []

    def objective(model, batch):
        calls.append(1)
        if rank == 1 and len(calls) == IN_THE_SECOND_STEP:
            os.kill(os.getpid(), signal.SIGKILL)
        return models.objective(model, batch)

    return on_parts(rank, "good", objective=objective)


def validated_on_parts(rank):
    """Each rank validates on a batch of its own."""
    seen = []

    def validate(model):
        with torch.no_grad():
            loss = models.objective(model, models.batches(5)[rank])
        seen.append(float(loss))
        return loss

    return {**on_parts(rank, "good", validate=validate), "seen": seen}


def with_a_closure(rank):
    """Which only the rule of one process may call."""
    return on_parts(rank, "good", closure=True)


def refused_on_parts(rank):
    """Nothing that was tried goes live."""
    return on_parts(rank, "bad", max_attempts=2)


def undecided(rank):
    """The same without a decision."""
    return on_parts(rank, None)
