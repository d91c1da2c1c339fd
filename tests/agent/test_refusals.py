"""Models that cannot be tried on a copy are refused when an agent is attached."""

import warnings

import pytest
import torch
import torch.distributed as dist
from torch import nn

from dux_agent import attach, refusals
from dux_agent.errors import BadArgument
from tests import models
from tests.sources import MOMENTUM
from tests.talking import scripted, sgd


@pytest.fixture
def alone(tmp_path):
    """A process group of one rank."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dist.init_process_group(
            "gloo", init_method=f"file://{tmp_path}/group", rank=0, world_size=1
        )
    yield
    dist.destroy_process_group()


@pytest.mark.usefixtures("alone")
@pytest.mark.filterwarnings("ignore")  # of importing it
def test_an_optimizer_that_cannot_be_copied_is_refused_where_a_model_is_asked():
    from torch.distributed.optim import ZeroRedundancyOptimizer

    model = models.make("mlp")
    base = ZeroRedundancyOptimizer(model.parameters(), torch.optim.SGD, lr=0.1)

    with pytest.raises(BadArgument, match="a ZeroRedundancyOptimizer, cannot be deep"):
        attach(model, base, models.objective, lm=scripted(MOMENTUM))
    with attach(model, base, models.objective, lm=None) as agent:
        agent.step(models.batches(1)[0])


def test_an_fsdp_model_of_the_first_generation_is_refused_at_attach():
    class FullyShardedDataParallel(nn.Sequential):
        """As the one of torch.distributed is called, which wants a process group."""

    model = FullyShardedDataParallel(models.make("mlp"))

    with pytest.raises(BadArgument, match=r"FullyShardedDataParallel \(FSDP1\); .*use"):
        attach(model, sgd(model), models.objective)


@pytest.mark.usefixtures("alone")
@pytest.mark.parametrize("execution", ["inline", "isolated"])
def test_a_sharded_model_of_one_rank_trains_as_the_same_unsharded(execution):
    from torch.distributed.fsdp import fully_shard

    weights = []
    for shards in (False, True):
        model = models.make("mlp")
        if shards:
            mesh = dist.device_mesh.init_device_mesh("cpu", (1,))
            fully_shard(model, mesh=mesh)
        options = {"lm": scripted(MOMENTUM), "execution": execution, "every": 4}
        with attach(model, sgd(model), models.objective, **options) as agent:
            assert "passes" in str(agent.plan())
            for batch in models.batches(7):
                agent.step(batch)
            assert "live Momentum" in repr(agent)
            assert "passes" in str(agent.plan())
        assert ["applied"] == [each.verdict for each in agent.decisions]
        weights.append(
            [
                each.full_tensor() if shards else each
                for each in (parameter.detach() for parameter in model.parameters())
            ]
        )

    assert all(map(torch.equal, *weights))


@pytest.mark.usefixtures("alone")
def test_a_distributed_tensor_is_refused_at_attach():
    from torch.distributed.tensor import Replicate, distribute_tensor

    model = models.make("mlp")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mesh = dist.device_mesh.init_device_mesh("cpu", (1,))
        spread = distribute_tensor(model[2].weight.data, mesh, [Replicate()])
    model[2].weight = nn.Parameter(spread)

    with pytest.raises(BadArgument, match="'2.weight' of the model is a DTensor"):
        attach(model, sgd(model), models.objective)


def lazy():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return nn.Sequential(nn.Linear(6, 2), nn.LazyLinear(1))


def meta():
    return nn.Sequential(nn.Linear(6, 2), nn.Linear(2, 1, device="meta"))


@pytest.mark.parametrize(
    "make, said",
    [
        (lazy, "'1.weight' of the model is not initialised .*run the model once"),
        (meta, "'1.weight' of the model is on the meta device"),
    ],
)
def test_a_model_without_data_is_refused_at_attach(make, said):
    model = make()

    with pytest.raises(BadArgument, match=said):
        attach(model, sgd(model), models.objective)


@pytest.mark.parametrize("lm", ["offline", None])
def test_an_optimizer_that_maximises_is_refused_at_attach(lm):
    model = models.make("mlp")
    upwards = torch.optim.SGD(model.parameters(), lr=0.1, maximize=True)

    with pytest.raises(BadArgument, match=r"maximize=True.*turn the sign"):
        attach(model, upwards, lambda *given: -models.objective(*given), lm=lm)


@pytest.mark.usefixtures("alone")
def test_parts_that_are_kept_elsewhere_are_refused_at_attach(monkeypatch):
    from torch.distributed.fsdp import fully_shard

    model = models.make("mlp")
    fully_shard(model, mesh=dist.device_mesh.init_device_mesh("cpu", (1,)))
    elsewhere = torch.empty(0, device="meta")  # as of a mesh of CUDA devices
    monkeypatch.setattr(refusals, "own_part", lambda _: elsewhere)

    with pytest.raises(BadArgument, match="kept away from the devices of its mesh"):
        attach(model, sgd(model), models.objective)


def test_parameters_on_several_devices_are_refused_where_programs_are_recorded():
    here, there = torch.ones(1), torch.ones(1, device="meta")
    groups = [{"params": [here]}, {"params": [there]}]

    with pytest.raises(BadArgument, match="are on cpu and meta, .*execution='inline'"):
        refusals.check_devices("recorded", groups)
    refusals.check_devices("recorded", groups[:1])
    refusals.check_devices("inline", groups)


class Counting(torch.optim.SGD):
    """Keeps a number in its state, as no optimizer of torch's does."""

    def __init__(self, parameters, lr=0.01):
        super().__init__(parameters, lr=lr)
        self.state["steps"] = 0

    def step(self, closure=None):
        self.state["steps"] += 1
        return super().step(closure)


class NoRoom(torch.optim.SGD):
    """Finds no memory for a copy of itself just now."""

    def __deepcopy__(self, memo):
        raise torch.OutOfMemoryError("no room")


@pytest.mark.parametrize("kind", [Counting, NoRoom])
def test_an_optimizer_is_attached_to_that_may_be_copied_later(kind):
    model = models.make("mlp")

    with attach(model, kind(model.parameters(), lr=0.01), models.objective) as agent:
        agent.step(models.batches()[0])

        assert isinstance(agent.optimizer, torch.optim.Optimizer)


def warnings_for(module, caplog, monkeypatch):
    monkeypatch.setattr(refusals, "_is_cudnns", lambda module: True)
    model = nn.ModuleDict({"body": module, "head": nn.Linear(4, 1)})
    with attach(model, sgd(model), lambda model, batch: model["head"](batch).sum()):
        return [record.getMessage() for record in caplog.records]


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
def test_dropout_that_cudnn_draws_is_named_at_attach(kind, caplog, monkeypatch):
    said = warnings_for(kind(4, 4, num_layers=2, dropout=0.1), caplog, monkeypatch)

    assert 1 == len(said)
    assert said[0].startswith("body: cuDNN draws the dropout between recurrent layers")


@pytest.mark.parametrize(
    "module",
    [
        nn.LSTM(4, 4, num_layers=2),
        nn.GRU(4, 4, num_layers=1),
        nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.1)),
    ],
)
def test_nothing_is_said_where_cudnn_draws_nothing(module, caplog, monkeypatch):
    assert [] == warnings_for(module, caplog, monkeypatch)


def test_nor_of_layers_on_the_cpu(caplog):
    model = nn.LSTM(4, 4, num_layers=2, dropout=0.1)

    with attach(model, sgd(model), lambda model, batch: model(batch)[0].sum()):
        assert [] == caplog.records
