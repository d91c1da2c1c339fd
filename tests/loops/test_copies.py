"""Copies and pickles of the live optimizer: the user's own optimizer, without us."""

import copy
import io
import pickle
import subprocess
import sys
from collections import namedtuple
from types import SimpleNamespace

import joblib
import pytest
import torch
from sklearn.base import BaseEstimator, clone

from dux_agent import attach
from tests import models
from tests.executions import both
from tests.swapping import ADAM
from tests.talking import run, scripted

Pair = namedtuple("Pair", "optimizer model")


class Estimator(BaseEstimator):
    """As in a grid search: `clone` deep-copies what it was made with."""

    def __init__(self, optimizer=None, model=None):
        self.optimizer, self.model = optimizer, model


class Thin(SimpleNamespace):
    """A trainer that holds both."""


def through_torch(held):
    buffer = io.BytesIO()
    torch.save(held, buffer)
    buffer.seek(0)
    return torch.load(buffer, weights_only=False)


def through_joblib(held):
    buffer = io.BytesIO()
    joblib.dump(held, buffer)
    buffer.seek(0)
    return joblib.load(buffer)


HOLDERS = {
    "tuple": lambda model, optimizer: (optimizer, model),
    "named": lambda model, optimizer: Pair(optimizer, model),
    "dict": lambda model, optimizer: {"optimizer": optimizer, "model": model},
    "trainer": lambda model, optimizer: Thin(model=model, optimizer=optimizer),
}
ROADS = {
    "deepcopy": copy.deepcopy,
    "oldest pickle": lambda held: pickle.loads(pickle.dumps(held, 0)),
    "pickle": lambda held: pickle.loads(pickle.dumps(held)),
    "python pickle": lambda held: pickle._loads(pickle._dumps(held)),
    "torch": through_torch,
    "joblib": through_joblib,
}


def parts(held):
    """The model and the optimizer of a copy."""
    if isinstance(held, dict):
        return held["model"], held["optimizer"]
    if isinstance(held, tuple):
        return held[1], held[0]
    return held.model, held.optimizer


def steps(model, optimizer, count):
    for step in range(count):
        optimizer.zero_grad()
        models.objective(model, models.batches()[step % 3]).backward()
        optimizer.step()


def sgd(model):
    """Two groups with rates of their own."""
    first, *others = model.parameters()
    groups = [{"params": [first], "lr": 0.02, "name": "first"}, {"params": others}]
    return torch.optim.SGD(groups, lr=0.05, momentum=0.9, weight_decay=0.01)


def same(some, others):
    pairs = zip(some.parameters(), others.parameters(), strict=True)
    return all(torch.equal(one, other) for one, other in pairs)


def begun(execution="inline", make=sgd, **options):
    """A training with an agent, four steps old."""
    model = models.make("mlp")
    options = {"dry_run_steps": 1, "accept": "finite", **options}
    talk = {"lm": scripted(ADAM), "execution": execution, **options}
    agent = attach(model, make(model), models.objective, **talk)
    run(agent, 4)
    return agent


def ruled(agent):
    assert "applied" == agent.decide().verdict
    run(agent, 2)


def plain(agent, make=sgd, count=4):
    """The same training without an agent, at the weights of now."""
    model = models.make("mlp")
    optimizer = make(model)
    steps(model, optimizer, count)
    with torch.no_grad():
        for mine, now in zip(model.parameters(), agent.model.parameters(), strict=True):
            mine.copy_(now)
    return model, optimizer


WAYS = [(road, hold) for road in ROADS for hold in HOLDERS]


@both
@pytest.mark.parametrize("rule", [False, True])
def test_a_copy_trains_on_as_one_of_a_training_without_an_agent(execution, rule):
    with begun(execution) as agent:
        if rule:
            ruled(agent)
        before = copy.deepcopy(agent.model)
        learned = repr(agent.optimizer.state_dict())
        found = {}

        for road, hold in WAYS:
            go, holder = ROADS[road], HOLDERS[hold]
            model, optimizer = parts(go(holder(agent.model, agent.optimizer)))
            expected, theirs = parts(go(holder(*plain(agent))))
            alike = options(optimizer) == options(theirs)
            steps(model, optimizer, 3)
            steps(expected, theirs, 3)
            found[road, hold] = type(optimizer), alike, same(expected, model)

        assert {way: (torch.optim.SGD, True, True) for way in WAYS} == found
        assert same(before, agent.model)
        assert learned == repr(agent.optimizer.state_dict())
        run(agent, 2)
        assert [] == [each for each in agent.decisions if each.verdict != "applied"]


def options(optimizer):
    return [{**each, "params": len(each["params"])} for each in optimizer.param_groups]


@both
@pytest.mark.parametrize("rule", [False, True])
def test_the_bare_one_is_copied_over_copies_of_the_weights_as_torchs(execution, rule):
    with begun(execution) as agent:
        if rule:
            ruled(agent)

        copied = copy.deepcopy(agent.optimizer)
        expected = copy.deepcopy(plain(agent)[1])

        mine = [p for group in copied.param_groups for p in group["params"]]
        theirs = [p for group in expected.param_groups for p in group["params"]]
        own = {id(each) for each in agent.model.parameters()}
        assert all(map(torch.equal, theirs, mine))
        assert not own & {id(each) for each in mine}
        assert [0.02, 0.05] == [group["lr"] for group in copied.param_groups]


@pytest.mark.parametrize("rule", [False, True])
def test_an_estimator_that_holds_it_is_cloned_for_a_grid_search(rule):
    with begun() as agent:
        if rule:
            ruled(agent)

        cloned = clone(Estimator(agent.optimizer, agent.model))

        assert torch.optim.SGD is type(cloned.optimizer)
        assert [0.02, 0.05] == [each["lr"] for each in cloned.optimizer.param_groups]


ORDERS = [
    ("scheduler", "optimizer", "model"),
    ("optimizer", "scheduler", "model"),
    ("model", "optimizer", "scheduler"),
]


def scheduled(optimizer):
    return torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.5)


def train_scheduled(copied):
    for _ in range(2):
        steps(copied["model"], copied["optimizer"], 1)
        copied["scheduler"].step()
    return copied["model"]


@both
@pytest.mark.parametrize("rule", [False, True])
@pytest.mark.parametrize("over", ["base", "live"])
@pytest.mark.filterwarnings("ignore:Seems like:UserWarning")  # torch's, of any copy
def test_a_scheduler_beside_it_is_the_copys_own(execution, rule, over):
    ways = [(road, order) for road in ROADS for order in ORDERS]
    with begun(execution) as agent:
        live = agent.optimizer
        scheduler = scheduled(live.base if over == "base" else live)
        if rule:
            ruled(agent)
        model, base = plain(agent)
        mine = {"model": agent.model, "optimizer": live, "scheduler": scheduler}
        theirs = {"model": model, "optimizer": base, "scheduler": scheduled(base)}
        found = {}

        for road, order in ways:
            copied, expected = (
                ROADS[road]({name: held[name] for name in order})
                for held in (mine, theirs)
            )
            linked = copied["scheduler"].optimizer is copied["optimizer"]
            alike = same(train_scheduled(expected), train_scheduled(copied))
            found[road, order] = linked, alike

        assert dict.fromkeys(ways, (True, True)) == found


class Kept(torch.optim.SGD):
    """It pickles all that hangs on it."""

    def __getstate__(self):
        return {**self.__dict__}


class Reduced(torch.optim.SGD):
    """It says itself how it is made again."""

    def __reduce__(self):
        return remade, (type(self), self.param_groups, dict(self.state))


def remade(kind, groups, state):
    made = kind(groups, lr=0.1, momentum=0.9)
    made.state.update(state)
    return made


def kept(model):
    return Kept(model.parameters(), lr=0.05, momentum=0.9)


def remade_later(model):
    return Reduced(model.parameters(), lr=0.05, momentum=0.9)


def prepared(model):
    from accelerate import Accelerator

    return Accelerator(cpu=True).prepare(sgd(model))


def fused(model):
    return torch.optim.AdamW(model.parameters(), lr=0.05, fused=True, amsgrad=True)


def tensor_rate(model):
    return torch.optim.Adam(model.parameters(), lr=torch.tensor(0.05))


KINDS = [kept, remade_later, prepared, fused, tensor_rate]


@pytest.mark.parametrize("rule", [False, True])
@pytest.mark.parametrize("make", KINDS)
def test_any_kind_of_optimizer_is_copied_as_itself(rule, make):
    ways = ["deepcopy", "pickle", "torch"]
    with begun(make=make) as agent:
        if rule:
            ruled(agent)
        kind, found = type(agent.optimizer.base), {}

        for road in ways:
            model, optimizer = ROADS[road]((agent.model, agent.optimizer))
            expected, theirs = ROADS[road](plain(agent, make))
            steps(model, optimizer, 3)
            steps(expected, theirs, 3)
            found[road] = type(optimizer), same(expected, model)

        assert dict.fromkeys(ways, (kind, True)) == found
        assert agent.optimizer.base.param_groups is agent.optimizer.param_groups


def test_state_in_another_dtype_than_the_weights_stays_so():
    class Wide(torch.optim.SGD):
        def step(self, closure=None):
            for group in self.param_groups:
                for p in group["params"]:
                    self.state[p]["sum"] = p.detach().double() / 3

    globals()["Wide"] = Wide
    Wide.__qualname__ = "Wide"
    with begun(make=lambda model: Wide(model.parameters(), lr=0.1)) as agent:
        ruled(agent)

        for road in (copy.deepcopy, ROADS["pickle"]):
            optimizer = road((agent.optimizer,))[0]
            found = {each["sum"].dtype for each in optimizer.state.values()}
            assert {torch.float64} == found


@both
def test_a_pickle_is_read_where_this_package_is_not(execution):
    script = (
        "import pickle, sys\n"
        "sys.modules['dux_agent'] = sys.modules['dux_sandbox'] = None\n"
        "for sent in pickle.load(sys.stdin.buffer):\n"
        "    made = pickle.loads(sent)\n"
        "    print(type(made).__name__, [each['lr'] for each in made.param_groups])\n"
    )
    with begun(execution) as agent:
        sent = [pickle.dumps(agent.optimizer)]
        ruled(agent)
        sent.append(pickle.dumps(agent.optimizer))
    sent.append(pickle.dumps(agent.optimizer))  # closed

    ended = subprocess.run(
        [sys.executable, "-c", script],
        input=pickle.dumps(sent),
        capture_output=True,
        check=True,
    )

    assert ["SGD [0.02, 0.05]"] * 3 == ended.stdout.decode().splitlines()


@pytest.mark.parametrize("make", [sgd, kept])
@pytest.mark.parametrize("rule", [False, True])
def test_no_hook_and_no_listener_goes_with_a_copy(rule, make):
    seen = []
    with begun(make=make) as agent:
        if rule:
            ruled(agent)
        count = agent.step_count
        agent.optimizer.register_step_post_hook(lambda *_: seen.append(1))

        model, optimizer = copy.deepcopy((agent.model, agent.optimizer))
        handle = optimizer.register_step_pre_hook(lambda *_: seen.append(2))
        handle.remove()
        if make is sgd:  # the other one's copy has torch's hooks without us too
            steps(model, optimizer, 2)

        assert [] == seen
        assert count == agent.step_count
        run(agent, 1)
        assert [1] == seen


def test_a_shallow_copy_is_refused_and_says_what_to_take():
    with begun() as agent, pytest.raises(TypeError, match=r"copy\.deepcopy"):
        copy.copy(agent.optimizer)


@pytest.mark.parametrize("road", [pickle.dumps, copy.deepcopy])
def test_an_agent_says_that_it_is_not_copied_and_what_to_do(road):
    with begun() as agent, pytest.raises(TypeError, match=r"state_dict\(\).*stay in"):
        road(agent)


@both
def test_copies_on_the_way_leave_the_training_as_it_was(execution):
    found = []
    for look in (lambda agent: None, lambda agent: copies(agent)):
        with begun(execution) as agent:
            look(agent)
            run(agent, 1)
            ruled(agent)
            look(agent)
            run(agent, 3)
            found.append(copy.deepcopy(agent.model))

    assert same(*found)


def copies(agent):
    for road in ROADS.values():
        road((agent.optimizer, agent.model))
