"""A rule's process is forked before its rule is known, and none is left over."""

import os
import signal
import sys

import pytest
import torch

from dux_sandbox import Limits
from dux_sandbox.dry_runs.side_by_side import dry_run, in_slices
from dux_sandbox.process.ahead import fork_ahead, forked_ahead, nothing_lingers
from dux_sandbox.process.isolated import IsolatedRule
from dux_sandbox.process.spawning import zygote
from tests import models
from tests.sources import EXPLODES, MOMENTUM, SGD
from tests.waiting import alive, children_of, wait_until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

BATCHES = models.batches(4)


def children():
    """Process ids of what the warm process has forked and not yet buried."""
    warm = zygote()
    warm.layers()
    return set(children_of(warm._process.pid))


@pytest.fixture
def strangers():
    """Those that lived before the test; afterwards nothing waits."""
    nothing_lingers()
    yield children()
    nothing_lingers()


def living(strangers):
    return {pid for pid in children() - strangers if alive(pid)}


def groups_of(*shapes):
    return [{"params": [torch.nn.Parameter(torch.ones(shape)) for shape in shapes]}]


def built(groups, **options):
    return IsolatedRule.build(MOMENTUM, groups, **options)


def test_the_next_rule_over_such_parameters_gets_the_one_that_waits(strangers):
    first = built(groups_of((3, 2), (4,)), ahead=True)
    wait_until(lambda: len(living(strangers)) == 2)
    (waiting,) = living(strangers) - {first.pid}

    second = built(groups_of((3, 2), (4,)))

    assert waiting == second.pid
    first.close()
    second.close()
    wait_until(lambda: not living(strangers))


def test_it_steps_as_one_that_was_forked_for_its_rule():
    groups = [groups_of((3, 2), (4,)) for _ in range(2)]
    first = built(groups_of((3, 2), (4,)), ahead=True)
    rules = [built(each) for each in groups]

    for each, rule in zip(groups, rules, strict=True):
        each[0].update(rule.options[0])
        rule.bind(each)
        for parameter in each[0]["params"]:
            parameter.grad = torch.full_like(parameter, 0.3)
        rule.step()
        rule.step()

    for one, other in zip(groups[0][0]["params"], groups[1][0]["params"], strict=True):
        assert torch.equal(one, other)
    for rule in (first, *rules):
        rule.close()


def test_it_is_locked_as_every_other_is(strangers):
    required = tuple(layer.name for layer in zygote().layers() if layer.active)
    assert required
    limits = Limits(require=required)

    IsolatedRule.expect(groups_of((2,)), limits)
    waiting = living(strangers)
    rule = built(groups_of((2,)), limits=limits)

    assert {rule.pid} == waiting
    rule.close()


@pytest.mark.parametrize("other", ["shapes", "memory"])
def test_a_rule_that_wants_another_process_is_forked_one(other, strangers):
    limits = Limits()
    IsolatedRule.expect(groups_of((2,)), limits)
    waiting = living(strangers)

    shapes = ((4096,),) if other == "shapes" else ((2,),)
    memory = limits.memory // 2 if other == "memory" else limits.memory
    rule = built(groups_of(*shapes), limits=Limits(memory=memory))

    assert {rule.pid} == living(strangers) - waiting
    rule.close()


@pytest.mark.parametrize("lost", ["it", "the warm process"])
def test_one_that_died_while_it_waited_costs_no_rule(lost, strangers):
    IsolatedRule.expect(groups_of((2,)), Limits())
    (waiting,) = living(strangers)
    os.kill(waiting if lost == "it" else zygote()._process.pid, signal.SIGKILL)
    wait_until(lambda: not alive(waiting))

    rule = built(groups_of((2,)))

    assert waiting != rule.pid
    assert alive(rule.pid)
    rule.close()


def test_asking_twice_lets_one_wait(strangers):
    for _ in range(2):
        IsolatedRule.expect(groups_of((2,)), Limits())

    assert 1 == len(living(strangers))


def test_none_is_handed_out_twice_or_after_all_were_ended(strangers):
    request = {"purpose": "rule", "mirror": 4096, "memory": 1 << 28, "threads": 1}
    fork_ahead(request)
    child, memory = forked_ahead(request)
    assert forked_ahead(request) is None
    child.kill(wait=False)
    os.close(memory)

    fork_ahead(request)
    nothing_lingers()

    assert forked_ahead(request) is None
    wait_until(lambda: not alive(child.pid))
    wait_until(lambda: not living(strangers))


def training():
    model = models.make("mlp")
    return model, torch.optim.SGD(model.parameters(), lr=0.1)


@pytest.mark.parametrize("short", [MOMENTUM, EXPLODES], ids=["passes", "fails"])
def test_dry_runs_in_a_row_report_what_each_alone_would(short, strangers):
    model, optimizer = training()
    given = model, optimizer, models.objective, BATCHES, 4

    alone = []
    for source, steps in ((short, 1), (SGD, 1), (MOMENTUM, None)):
        alone.append(dry_run(source, *given, proposal_steps=steps))
        nothing_lingers()
    in_a_row = [
        dry_run(source, *given, proposal_steps=steps)
        for source, steps in ((short, 1), (SGD, 1), (MOMENTUM, None))
    ]

    for one, other in zip(alone, in_a_row, strict=True):
        assert one.ok == other.ok
        assert one.findings == other.findings
        assert one.losses == other.losses
        assert one.incumbent_losses == other.incumbent_losses
    wait_until(lambda: not living(strangers))


@pytest.mark.parametrize("steps", [1, None], ids=["short", "whole"])
@pytest.mark.parametrize("call", range(1, 7))
def test_an_objective_that_raises_leaves_no_process(call, steps, strangers):
    model, optimizer = training()
    calls = []

    def objective(given, batch):
        calls.append(batch)
        if len(calls) == call:
            raise KeyError("the caller's own")
        return models.objective(given, batch)

    with pytest.raises(KeyError):
        dry_run(SGD, model, optimizer, objective, BATCHES, 3, proposal_steps=steps)

    wait_until(lambda: not living(strangers))


@pytest.mark.parametrize("steps", [1, None], ids=["short", "whole"])
@pytest.mark.parametrize("slices", range(1, 8))
def test_slices_that_are_given_up_leave_no_process(slices, steps, strangers):
    model, optimizer = training()
    given = SGD, model, optimizer, models.objective, BATCHES, 3
    work = in_slices(*given, proposal_steps=steps, sliced=True)

    for _ in range(slices):
        next(work)
    work.close()

    wait_until(lambda: not living(strangers))
