"""Trainings of sharded models, and the same in one process, step by step alike."""

import torch
from torch.distributed import checkpoint as dcp
from torch.distributed.checkpoint.state_dict import (
    get_model_state_dict,
    get_state_dict,
    set_model_state_dict,
    set_state_dict,
)
from torch.distributed.fsdp import fully_shard

from dux_agent import attach
from tests import models
from tests.sources import MOMENTUM, SGD, counting
from tests.talking import Scripted, scripted

GENTLE = MOMENTUM.replace("lr=0.05", "lr=0.01")
SMOOTHED = counting(
    'm = state["m"] = 0.9 * state.get("m", 0 * p) + p.grad; p.sub_(lr * m)',
    name="Smoothed",
)
NORMED = counting("p.sub_(lr * p.grad / (p.grad.norm() + 1e-8))", name="Normed")
MIXED = counting(
    "p.sub_(lr * (p.grad @ (p.grad.T @ p.grad) if p.ndim == 2 else p.grad))",
    name="Mixed",
)
STEPS, EVERY = 14, 5


def rows_of(batch, rank, count):
    """What one of `count` ranks sees of a batch."""
    return tuple(each.chunk(count)[rank] for each in batch)


def trained(
    model, told, *sources, execution, plant=None, every=EVERY, after=None, **options
):
    """Train `model`; `told` gives what this process is told of a batch.

    `after` is called with both after each step, before the agent hears of it.
    """
    base = torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9)
    lm = scripted(*sources)
    given = {"max_attempts": 1, "dry_run_steps": 3, "execution": execution, **options}
    batches = models.batches(5)
    verdicts = []
    with attach(model, base, models.objective, lm=lm, every=every, **given) as agent:
        for step in range(STEPS):
            if plant is not None:
                plant(agent, step)
            batch = told(batches[step % len(batches)])
            agent.optimizer.zero_grad()
            loss = models.objective(model, batch)
            loss.backward()
            agent.optimizer.step()
            if after is not None:
                after(model, batch)
            spike = vars(agent).pop("spike", 0.0)
            agent.observe(loss.detach() + spike, batch)
            verdicts.append([each.verdict for each in agent.decisions])
        return {
            "verdicts": verdicts,
            "reasons": [each.reason for each in agent.decisions],
            "recent": list(agent.training.statistics.recent),
            "norms": agent.training.statistics.norms.mean(),
            "live": agent.optimizer.running.digest,
            "asked": len(lm.asked) if isinstance(lm, Scripted) else None,
        }


def made():
    torch.manual_seed(0)
    return models.mlp()


def sharded_over(mesh):
    model = made()
    fully_shard(model[0], mesh=mesh)
    return fully_shard(model, mesh=mesh)


def weights_of(model):
    wholes = [
        getattr(each, "full_tensor", lambda e=each: e)()
        for each in (parameter.detach() for parameter in model.parameters())
    ]
    return [each.flatten().tolist() for each in wholes]


def mesh_of(hybrid):
    count = torch.distributed.get_world_size()
    make = torch.distributed.device_mesh.init_device_mesh
    if hybrid:
        names = ("same", "parts")
        return make("cpu", (2, count // 2), mesh_dim_names=names)
    return make("cpu", (count,))


def sharded(
    rank, sources, execution, hybrid=False, plant=None, shard=sharded_over, **options
):
    """A model of which each rank holds a part, told each rank its rows of a batch."""
    count = torch.distributed.get_world_size()
    model = shard(mesh_of(hybrid))
    done = trained(
        model,
        lambda batch: rows_of(batch, rank, count),
        *sources,
        execution=execution,
        plant=plant,
        **options,
    )
    return {**done, "weights": weights_of(model)}


def alone(sources, execution, plant=None, **options):
    """The same in one process, told all of each batch."""
    model = made()
    done = trained(
        model,
        lambda batch: batch,
        *sources,
        execution=execution,
        plant=plant,
        **options,
    )
    return {**done, "weights": weights_of(model)}


def of_elements(rank, execution, hybrid=False):
    """Two rules that move each element by itself."""
    return sharded(rank, [GENTLE, SMOOTHED, SGD], execution, hybrid)


def evaluated(rank):
    """All in one unit, which holds its weights whole after a forward pass alone."""

    @torch.no_grad()
    def after(model, batch):
        model(batch[0])

    def shard(mesh):
        return fully_shard(made(), mesh=mesh)

    return sharded(rank, [GENTLE, SMOOTHED], "inline", shard=shard, after=after)


def of_some(rank):
    """One layer is sharded; the loop reduces the gradients of the others itself."""

    def reduce(parameter):
        torch.distributed.all_reduce(parameter.grad)
        parameter.grad /= torch.distributed.get_world_size()

    def shard(mesh):
        model = made()
        fully_shard(model[0], mesh=mesh)
        for each in model[2].parameters():
            each.register_post_accumulate_grad_hook(reduce)
        return model

    return sharded(rank, [GENTLE, SMOOTHED], "inline", shard=shard)


def spiking(rank, execution):
    """The loss of rank 1 alone goes out of bounds while a rule is live."""

    def plant(agent, step):
        if step == 8 and rank == 1:
            agent.spike = 2e6  # a mean of 1e6 over two

    return sharded(rank, [GENTLE, SMOOTHED], execution, plant=plant, every=EVERY + 1)


def of_wholes(rank):
    """Two rules that need all of a matrix, and then one that does not."""
    options = {"max_attempts": 3, "every": STEPS}
    return sharded(rank, [NORMED, MIXED, GENTLE], "inline", **options)


def resumed(rank, how, folder):
    """Saved by `torch.distributed.checkpoint`, gone on; loaded and gone on again."""
    count = torch.distributed.get_world_size()

    def begun():
        model = sharded_over(mesh_of(False))
        base = torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9)
        options = {"every": 6, "max_attempts": 1, "execution": "isolated"}
        lm = scripted(SMOOTHED, GENTLE)
        return model, attach(model, base, models.objective, lm=lm, **options)

    def train(model, agent, steps):
        for step in steps:
            batch = rows_of(models.batches(5)[step % 5], rank, count)
            agent.optimizer.zero_grad()
            loss = models.objective(model, batch)
            loss.backward()
            agent.optimizer.step()
            agent.observe(loss.detach(), batch)

    def parts(model, agent):
        if how == "entry":
            return {"model": get_model_state_dict(model), "agent": agent.stateful()}
        own, learned = get_state_dict(model, agent.optimizer)
        return {"model": own, "optimizer": learned}

    model, agent = begun()
    train(model, agent, range(8))
    dcp.save(parts(model, agent), checkpoint_id=folder)
    train(model, agent, range(8, 11))
    agent.close()
    again, other = begun()
    if how != "entry":
        other.prime(folder)
    state = parts(again, other)
    if how == "entry":
        # Weights first: the agent's own state is loaded with the rest.
        dcp.load({"model": state["model"]}, checkpoint_id=folder)
        set_model_state_dict(again, state["model"])
        dcp.load({"agent": state["agent"]}, checkpoint_id=folder)
    else:
        dcp.load(state, checkpoint_id=folder)
        set_state_dict(
            again,
            other.optimizer,
            model_state_dict=state["model"],
            optim_state_dict=state["optimizer"],
        )
    train(again, other, range(8, 11))
    other.close()
    return {
        "weights": weights_of(model),
        "again": weights_of(again),
        "live": other.optimizer.running.digest,
    }


def spike_alone(agent, step):
    if step == 8:
        agent.spike = 1e6
