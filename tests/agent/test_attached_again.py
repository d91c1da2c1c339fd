"""Attaching again closes the former agent and leaves nothing of it behind."""

import copy
import gc
import logging
import pickle
import sys
import threading

import pytest
import torch

from dux_agent import attach
from dux_agent.errors import BadArgument
from dux_sandbox.process import spawning
from tests import models
from tests.swapping import ADAM, MOMENTUM
from tests.talking import Scripted, fenced, run, scripted, sgd
from tests.waiting import children_of

EXECUTIONS = ["inline", "isolated"]


def attached(model, optimizer, source=ADAM, **options):
    options = {"lm": scripted(source), **options}
    return attach(model, optimizer, models.objective, **options)


def children():
    """Process ids that the warm process has forked and that still live."""
    return set(children_of(spawning.zygote()._process.pid))


def ended(strangers):
    """Whether every child but these has ended; a killed one takes a moment."""
    for _ in range(600):
        if not children() - strangers:
            return True
        threading.Event().wait(0.1)
    return False


def hooks(model):
    return sum(
        len(getattr(p, "_post_accumulate_grad_hooks", None) or ())
        for p in model.parameters()
    )


def trained(model, optimizer, execution, **options):
    agent = attached(model, optimizer, execution=execution, **options)
    run(agent, 6)
    assert "applied" == agent.decide().verdict
    run(agent, 6)
    return agent


@pytest.mark.parametrize("execution", EXECUTIONS)
def test_an_open_agent_over_the_same_parameters_is_closed_aloud(execution, caplog):
    model = models.make("mlp")
    former = trained(model, sgd(model), execution)

    with caplog.at_level(logging.WARNING, logger="dux_agent"):
        agent = attached(model, sgd(model), execution=execution)

    assert former.closed and not agent.closed
    assert "<Agent of Sequential" in caplog.text
    assert "another agent is attached to 4 of its parameters" in caplog.text
    with pytest.raises(BadArgument, match="another one was attached to the same"):
        former.observe(1.0)
    run(agent, 3)
    agent.close()


@pytest.mark.parametrize("execution", EXECUTIONS)
@pytest.mark.parametrize("closed", ["open", "closed", "dropped"])
def test_the_same_optimizer_has_its_own_options_again(execution, closed, caplog):
    model = models.make("mlp")
    optimizer = sgd(model)
    groups = [
        {k: v for k, v in g.items() if k != "params"} for g in sgd(model).param_groups
    ]
    former = trained(model, optimizer, execution)
    if closed == "closed":
        former.close()
    elif closed == "dropped":
        del former
        gc.collect()

    with attached(model, optimizer, execution=execution) as agent:
        own = [
            {k: v for k, v in g.items() if k != "params"}
            for g in optimizer.param_groups
        ]
        run(agent, 6)

    assert groups == own
    assert ("is closed" in caplog.text) == (closed != "closed")


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("execution", EXECUTIONS)
def test_attaching_again_and_again_leaves_no_process_hook_or_thread(execution):
    model = models.make("mlp")
    optimizer = sgd(model)
    before = children(), hooks(model), threading.active_count()

    for _ in range(3):
        trained(model, optimizer, execution)
    trained(model, sgd(model), execution).close()

    assert ended(before[0])
    assert before[1:] == (hooks(model), threading.active_count())


def test_a_decision_being_made_in_the_background_is_dropped(caplog):
    waits = threading.Event()

    class Slow(Scripted):
        def _generate(self, messages, stop=None, run_manager=None, **options):
            waits.wait(1)
            return super()._generate(messages, stop, run_manager, **options)

    model = models.make("mlp")
    lm = Slow(replies=[fenced(MOMENTUM)])
    former = attached(model, sgd(model), lm=lm, background=True, execution="inline")
    run(former, 5)
    former.decide()

    attached(model, sgd(model), execution="inline").close()

    assert "the agent was closed first" == former.decisions[-1].reason
    assert not [t for t in threading.enumerate() if t.name == "dux-decision"]


def test_agents_over_different_parameters_of_one_model_stay(caplog):
    model = models.make("mlp")
    first = torch.optim.SGD(model[0].parameters(), lr=0.01)
    second = torch.optim.SGD(model[2].parameters(), lr=0.01)

    with attached(model, first) as one, attached(model, second) as other:
        assert not one.closed and not other.closed
    assert "" == caplog.text


def test_an_agent_whose_arguments_are_refused_closes_no_other():
    model = models.make("mlp")
    with attached(model, sgd(model)) as former:
        with pytest.raises(BadArgument):
            attached(model, sgd(model), every=0)

        assert not former.closed


def test_a_model_and_its_agent_are_freed_with_the_optimizer():
    import weakref

    model = models.make("mlp")
    agent = attached(model, sgd(model), execution="inline")
    run(agent, 2)
    held = weakref.ref(agent), weakref.ref(model)

    del agent, model
    gc.collect()

    assert [None, None] == [each() for each in held]


def test_the_optimizer_can_still_be_copied_and_pickled():
    model = models.make("mlp")
    optimizer = sgd(model)
    with attached(model, optimizer, execution="inline"):
        copied = copy.deepcopy(optimizer)
        unpickled = pickle.loads(pickle.dumps(optimizer))

    assert copied.param_groups[0]["lr"] == unpickled.param_groups[0]["lr"] == 0.02
