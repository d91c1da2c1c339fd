"""Snapshots live beside the model, in the CPU's memory, or nowhere."""

import pytest
import torch

from dux_agent import attach
from dux_agent.errors import BadArgument
from dux_agent.live.swap import swap
from dux_agent.run_folder import trace
from tests import models
from tests.swapping import ADAM, MOMENTUM, after, live_over, train
from tests.talking import run, scripted, sgd

EXECUTIONS = ["inline", "isolated"]
RAISES = MOMENTUM.replace("        self.t += 1\n", '        raise ValueError("x")\n')
LATE_NAN = after(14, 'p.fill_(float("nan"))')
LATE_RISE = after(14, "p.mul_(-30.0)")
LATE_ERROR = after(14, "state['nothing']")


def attached(model, source, **options):
    options = {"lm": scripted(source), "accept": "finite", **options}
    return attach(model, sgd(model), models.objective, **options)


def memory(tensors):
    return {each.untyped_storage().data_ptr() for each in tensors}


@pytest.mark.parametrize("execution", EXECUTIONS)
@pytest.mark.parametrize("source", [LATE_NAN, LATE_RISE, LATE_ERROR])
def test_on_the_host_a_rollback_is_what_it_is_beside_the_model(source, execution):
    weights = {}
    for place in ("device", "host"):
        model = models.make("batch norm")
        torch.manual_seed(0)
        options = {"execution": execution, "snapshots": place}
        with attached(model, source, **options) as agent:
            run(agent, 12)
            decision = agent.decide()
            run(agent, 20, first=12)
        assert "rolled_back" == decision.verdict
        assert "put back" not in decision.reason
        weights[place] = list(model.state_dict().values())

    assert all(map(torch.equal, weights["device"], weights["host"]))


def test_a_snapshot_on_the_host_has_memory_of_its_own_there():
    model = models.make("batch norm")
    with attached(model, ADAM, execution="inline", snapshots="host") as agent:
        run(agent, 3)
        agent.decide()
        run(agent, 3)
        snapshot = agent.optimizer.guard.watch.snapshot

    kept = [*snapshot.values, *snapshot.buffers.values()]
    assert {"cpu"} == {each.device.type for each in kept}
    own = memory([*model.parameters(), *model.buffers()])
    assert not memory(kept) & own


@pytest.mark.parametrize("execution", EXECUTIONS)
@pytest.mark.parametrize("source", [LATE_RISE, LATE_ERROR])
def test_without_snapshots_a_breach_ends_the_rule_and_puts_nothing_back(
    source, execution, tmp_path
):
    model = models.make("mlp")
    options = {"snapshots": "off", "run_dir": tmp_path / "run"}
    with attached(model, source, execution=execution, **options) as agent:
        run(agent, 12)
        decision = agent.decide()
        assert agent.optimizer.guard.watch.snapshot is None
        after_swap = [value.detach().clone() for value in model.parameters()]
        first = 12
        while decision.verdict == "applied":
            before = [value.detach().clone() for value in model.parameters()]
            run(agent, 1, first=first)
            first += 1
        live = agent.optimizer.running
        now = list(model.parameters())

    assert "rolled_back" == decision.verdict
    assert "nothing was put back (snapshots='off')" in decision.reason
    assert live is agent.optimizer.base_rule
    # Not where the swap was, as a snapshot would have it, but one step on.
    assert not all(map(torch.equal, after_swap, now))
    assert not all(map(torch.equal, before, now))
    (event,) = [e for e in trace.read(tmp_path / "run") if e.kind == "rollback"]
    assert "nothing was put back" in event.data["reason"]


def test_the_next_prompt_says_so_too():
    lm = scripted(LATE_RISE, ADAM)
    model = models.make("mlp")
    with attached(model, "", lm=lm, execution="inline", snapshots="off") as agent:
        run(agent, 12)
        agent.decide()
        run(agent, 20, first=12)
        agent.decide()

    told = str(lm.asked[1][-1].content)
    assert "goes on from the weights that it left" in told
    assert "everything was put back" not in told


@pytest.mark.parametrize("place", ["device", "host", "off"])
def test_a_first_step_that_fails_is_taken_by_the_incumbent_wherever_they_live(place):
    model, twin = models.make("mlp"), models.make("mlp")
    live, plain = live_over(model, sgd(model), snapshots=place), sgd(twin)
    train(live, model, 6)
    swap(live, RAISES)
    train(live, model, 6, first=6)
    train(plain, twin, 12)

    assert live.running is live.base_rule
    assert all(map(torch.equal, model.parameters(), twin.parameters()))


def test_without_snapshots_nothing_is_copied_while_a_rule_lives():
    model = models.make("mlp")
    options = {"execution": "inline", "snapshots": "off", "guard_steps": 5}
    with attached(model, MOMENTUM, **options) as agent:
        run(agent, 5)
        agent.decide()
        kept = []
        for step in range(300):
            run(agent, 1, first=step)
            watch = agent.optimizer.guard.watch
            kept += [each for each in (watch.snapshot, watch.pending) if each]
        state = agent.state_dict()

    assert [] == kept
    assert state["guard"]["snapshot"] is None


@pytest.mark.parametrize(
    "saved, loaded", [("device", "off"), ("off", "device"), ("device", "host")]
)
def test_a_checkpoint_is_loaded_where_snapshots_live_elsewhere(saved, loaded):
    model, other = models.make("mlp"), models.make("mlp")
    with attached(model, ADAM, execution="inline", snapshots=saved) as agent:
        run(agent, 5)
        agent.decide()
        run(agent, 5, first=5)
        state = agent.state_dict()
        other.load_state_dict(model.state_dict())
    with attached(other, ADAM, execution="inline", snapshots=loaded) as again:
        again.load_state_dict(state)
        run(again, 5, first=10)

        assert (loaded != "off") == (again.optimizer.guard.watch.snapshot is not None)
        assert ADAM.strip() == again.optimizer.running.source.strip()


@pytest.mark.parametrize("base", ["SGD", "AdamW"])
def test_the_guard_without_a_language_model_keeps_its_snapshots_on_the_host_too(base):
    ended = {}
    for place in ("device", "host"):
        model = models.make("batch norm")
        make = {"SGD": sgd, "AdamW": lambda m: torch.optim.AdamW(m.parameters())}[base]
        options = {"lm": None, "snapshots": place}
        agent = attach(model, make(model), models.objective, **options)
        for step in range(160):
            inputs, targets = models.batches()[step % 3]
            agent.step((inputs * float("nan") if step == 150 else inputs, targets))
        assert 1 == agent.rollbacks
        agent.close()
        ended[place] = list(model.state_dict().values())

    assert all(map(torch.equal, ended["device"], ended["host"]))


def test_without_a_language_model_snapshots_cannot_be_off():
    with pytest.raises(BadArgument, match="snapshots is 'off' and lm is None"):
        attached(models.make("mlp"), "", lm=None, snapshots="off")
    with pytest.raises(BadArgument, match="snapshots is 'disk'; one of 'device'"):
        attached(models.make("mlp"), ADAM, snapshots="disk")
