"""Trainings of sharded models, and the same in one process, step by step alike."""

import os
import resource
import signal
from functools import partial
from pathlib import Path

import pytest
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
from dux_agent.errors import RanksLost
from dux_agent.live.saved_checkpoint import CheckpointRefused
from dux_agent.training import whole_model
from dux_agent.training.loss_feed import LossFeed
from dux_sandbox.shards import own_part
from tests import models
from tests.late_device import LateDevice
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
            "plan": agent.plan().memory,
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


def evaluated_spiking(rank):
    """The same, and a rollback comes while they are whole."""

    @torch.no_grad()
    def after(model, batch):
        model(batch[0])

    def shard(mesh):
        return fully_shard(made(), mesh=mesh)

    how = {"shard": shard, "after": after, "plant": spike_of_rank_1(rank)}
    return sharded(rank, [GENTLE, SMOOTHED], "inline", every=EVERY + 1, **how)


def ungathered(rank):
    """Rank 1 cannot have a whole tensor while it attaches."""
    from torch.distributed.tensor import DTensor

    usual = DTensor.full_tensor

    def refuse(tensor, **_):
        raise MemoryError("no room for all of it")

    def plant(agent, step):
        DTensor.full_tensor = usual

    def shard(mesh):
        if rank == 1:
            DTensor.full_tensor = refuse
        return sharded_over(mesh)

    return sharded(rank, [GENTLE, SMOOTHED], "inline", shard=shard, plant=plant)


def in_transformers(rank):
    """Their own FSDP: on a CPU they shard nothing, so it is told that they do."""
    import transformers

    from dux_agent.errors import BadArgument
    from dux_agent.integrations.transformers import attach_trainer

    count = torch.distributed.get_world_size()
    for name, own in {"RANK": rank, "WORLD_SIZE": count}.items():
        os.environ[name] = os.environ[f"LOCAL_{name}"] = str(own)
    arguments = transformers.TrainingArguments(
        use_cpu=True,
        fsdp=True,
        fsdp_config={"fsdp_version": 2},
        report_to=[],
        max_steps=1,
    )
    trainer = transformers.Trainer(model=made(), args=arguments)
    shards = trainer.is_fsdp_enabled
    trainer.is_fsdp_enabled = True
    try:
        attach_trainer(trainer, lm=None)
    except BadArgument as error:
        return {"shards": shards, "refused": str(error)}


def ended_in_gathering(rank, how):
    """Rank 1 ends after it has gathered one tensor with the others."""
    usual, calls = whole_model.gathered, []

    def gathered(tensor):
        calls.append(tensor)
        if rank == 1 and len(calls) == 2:
            if how == "killed":
                os.kill(os.getpid(), signal.SIGKILL)
            raise MemoryError("no room for another")
        return usual(tensor)

    try:
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(whole_model, "gathered", gathered)
            return sharded(rank, [GENTLE], "inline")
    except RanksLost as lost:
        return {"error": str(lost), "notes": getattr(lost, "__notes__", [])}


class Heavy(torch.nn.Tanh):
    """Holds 64 MiB that nobody trains, of which gathering takes twice as much."""

    def __init__(self):
        super().__init__()
        self.ballast = torch.nn.Parameter(torch.zeros(1 << 12, 1 << 12), False)


def crowded(rank, at):
    """Rank `at` has no memory for whole weights at a decision."""
    usual = resource.getrlimit(resource.RLIMIT_AS)

    def plant(agent, step):
        resource.setrlimit(resource.RLIMIT_AS, usual)
        if rank == at and step == 0:
            agent.training.made_whole = partial(narrow, agent.training.made_whole)

    def narrow(then, **how):
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        room = pages * resource.getpagesize() + (16 << 20)
        resource.setrlimit(resource.RLIMIT_AS, (room, usual[1]))
        return then(**how)

    def shard(mesh):
        model = made()
        model[1] = fully_shard(Heavy(), mesh=mesh)
        return fully_shard(model, mesh=mesh)

    how = {"shard": shard, "plant": plant, "every": STEPS - 2}
    done = sharded(rank, [GENTLE], "inline", **how)
    done["weights"].pop(2)
    return done


def accelerated(rank):
    """Sharded by Accelerate, and attached to after that; it shards on no CPU itself."""
    import accelerate

    from dux_agent.integrations.accelerate import attach

    count = torch.distributed.get_world_size()
    for name, own in {"RANK": rank, "WORLD_SIZE": count}.items():
        os.environ[name] = os.environ[f"LOCAL_{name}"] = str(own)
    plugin = accelerate.FullyShardedDataParallelPlugin(
        fsdp_version=2, cpu_ram_efficient_loading=False
    )
    accelerator = accelerate.Accelerator(cpu=True, fsdp_plugin=plugin)
    accelerator.state.distributed_type = accelerate.DistributedType.FSDP
    accelerator.state.fsdp_plugin = plugin
    model = made()
    base = torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9)
    model, optimizer = accelerator.prepare(model, base)
    options = {"execution": "inline", "max_attempts": 1, "dry_run_steps": 3}
    lm = scripted(GENTLE, SMOOTHED)
    with attach(
        accelerator, model, optimizer, models.objective, lm=lm, every=EVERY, **options
    ) as agent:
        for step in range(STEPS):
            batch = rows_of(models.batches(5)[step % 5], rank, count)
            optimizer.zero_grad()
            loss = models.objective(model, batch)
            accelerator.backward(loss)
            optimizer.step()
            agent.observe(loss.detach(), batch)
        verdicts = [each.verdict for each in agent.decisions]
    return {"verdicts": verdicts, "weights": weights_of(model)}


class NotTwice(torch.nn.Tanh):
    """Cannot be copied once somebody says so."""

    copied = True

    def __deepcopy__(self, memo):
        if not self.copied:
            raise ValueError("there is one of it")
        return type(self)()


def uncopied(rank):
    """The model cannot be copied on rank 0 at one decision."""

    def plant(agent, step):
        NotTwice.copied = rank > 0 or step != EVERY - 1

    def shard(mesh):
        model = made()
        model[1] = NotTwice()
        return fully_shard(model, mesh=mesh)

    return sharded(rank, [GENTLE], "inline", shard=shard, plant=plant)


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
    how = {"plant": spike_of_rank_1(rank), "every": EVERY + 1}
    return sharded(rank, [GENTLE, SMOOTHED], execution, **how)


def spoilt_part(rank):
    """The part of rank 1 is not finite when a decision is due."""

    def plant(agent, step):
        if step == STEPS - 1 and rank == 1:
            own = own_part(next(agent.model.parameters()).detach())
            agent.optimizer.register_step_post_hook(lambda *_: own.fill_(torch.nan))

    return sharded(rank, [GENTLE], "inline", plant=plant, every=STEPS)


def saved_late(rank, *who):
    """Of a late device: some ranks save after a step that spoils the part of rank 1."""

    def spoil(parameter):
        own_part(parameter.grad).fill_(torch.nan)

    refused = []

    def plant(agent, step):
        if step == 0:
            agent.training.feed = LossFeed(LateDevice())
            agent.optimizer.guard.read = LateDevice()
            other = {**agent.state_dict(), "rank": 1 - rank}
            with pytest.raises(CheckpointRefused) as caught:
                agent.load_state_dict(other)
            refused.append(str(caught.value))
        if step == EVERY + 1 and rank == 1:
            first = next(agent.model.parameters())
            hook = agent.optimizer.register_step_pre_hook(
                lambda *_: hook.remove() or spoil(first)
            )
        if step in (EVERY - 1, EVERY + 2) and rank in who:
            agent.optimizer.state_dict()
            agent.state_dict()

    done = sharded(rank, [GENTLE, SMOOTHED], "inline", plant=plant)
    return {**done, "refused": refused}


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


def spike_of_rank_1(rank):
    def plant(agent, step):
        if step == 8 and rank == 1:
            agent.spike = 2e6  # a mean of 1e6 over two

    return plant


def spike_alone(agent, step):
    if step == 8:
        agent.spike = 1e6
