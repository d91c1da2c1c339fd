"""An agent whose run dies at any event goes on as if it had not died."""

import copy

import pytest
import torch

from dux_agent.live.saved_checkpoint import CheckpointRefused
from dux_agent.run_folder import trace
from dux_agent.run_folder.folder import RunFolder
from tests import models
from tests.swapping import ADAM, SGD, after
from tests.talking import agent_over, scripted

BOMB = after(10, 'p.fill_(float("nan"))')
DECIDED_AT = (8, 24)
STEPS = 34


class Died(BaseException):
    """Stands for the end of the process; nothing of ours catches it."""


class Run:
    """One training of a small model, with what it keeps to go on from."""

    def __init__(self, path):
        self.path = path
        # The first decision takes two tries and is rolled back, the second stays.
        self.lm = scripted("import os\n" + SGD, BOMB, ADAM)
        self.saved = None

    def go(self, die_after=None):
        """Train to the end, or until so many events were written."""
        if self.path.exists():
            folder = RunFolder.open(self.path)
        else:
            folder = RunFolder.create(self.path, {"task": "none", "seed": 0})
        model = models.make("dropout")
        agent = agent_over(model, lm=self.lm, run_dir=folder)
        if self.saved is not None:
            saved = copy.deepcopy(self.saved)
            model.load_state_dict(saved["model"])
            agent.load_state_dict(saved["agent"])
            torch.set_rng_state(saved["random"])
        count = 0

        def listen(event):
            nonlocal count
            count += 1
            if count == die_after:
                raise Died

        folder.subscribe(listen)
        batches = models.batches()
        try:
            while agent.step_count < STEPS:
                due = sum(agent.step_count >= step for step in DECIDED_AT)
                if len(agent.decisions) < due:
                    self.keep(model, agent)
                    agent.decide()
                    self.keep(model, agent)
                agent.step(batches[agent.step_count % len(batches)])
                if agent.step_count % 5 == 0:
                    self.keep(model, agent)
        except Died:
            return None
        finally:
            folder.close()
            agent.close()
        return {name: value.clone() for name, value in model.state_dict().items()}

    def keep(self, model, agent):
        state = {
            "model": model.state_dict(),
            "agent": agent.state_dict(),
            "random": torch.get_rng_state(),
        }
        self.saved = copy.deepcopy(state)

    def told(self):
        """The trace without times."""
        return [
            (event.kind, event.step, event.decision, event.data.get("digest"))
            for event in trace.read(self.path)
        ]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The run that does not die, and its weights."""
    run = Run(tmp_path_factory.mktemp("runs") / "run")
    return run, run.go()


def test_the_run_has_a_refusal_a_rollback_and_a_rule_that_stays(whole):
    run, _ = whole
    events = trace.read(run.path)

    assert set(trace.KINDS) - {"error", "trial"} == {event.kind for event in events}
    assert ["applied", "applied"] == [
        event.data["verdict"] for event in events if event.kind == "apply"
    ]
    assert 3 == len(run.lm.asked)


def moments(run, kind):
    """How many events were written when one of this kind was, each time."""
    kinds = [event.kind for event in trace.read(run.path)]
    return [place for place, found in enumerate(kinds, start=1) if found == kind]


@pytest.mark.parametrize(
    ("kind", "which"),
    [
        ("loss", 0),
        ("observation", 0),
        ("prompt", 1),
        ("reply", 0),
        ("reply", 2),
        ("static_check", 1),
        ("dry_run", 0),
        ("apply", 0),
        ("rollback", 0),
        ("loss", -1),
    ],
)
def test_a_run_that_died_there_ends_in_the_same_weights_and_the_same_trace(
    whole, tmp_path, kind, which
):
    before, weights = whole
    run = Run(tmp_path / "run")

    assert run.go(die_after=moments(before, kind)[which]) is None
    lines = (tmp_path / "run" / "trace.jsonl").read_bytes()
    again = run.go()

    assert all(torch.equal(weights[name], again[name]) for name in weights)
    assert before.told() == run.told()
    assert (tmp_path / "run" / "trace.jsonl").read_bytes().startswith(lines)
    assert 3 == len(run.lm.asked)


def test_a_run_that_dies_again_and_again_comes_to_the_same_end(whole, tmp_path):
    before, weights = whole
    run = Run(tmp_path / "run")

    for _ in range(8):
        again = run.go(die_after=11)
        if again is not None:
            break
    else:
        again = run.go()

    assert all(torch.equal(weights[name], again[name]) for name in weights)
    assert before.told() == run.told()


@pytest.mark.parametrize("kind", ["reply", "dry_run", "rollback"])
def test_a_run_that_dies_again_before_it_has_met_its_old_trace_tells_nothing_twice(
    whole, tmp_path, kind
):
    before, weights = whole
    run = Run(tmp_path / "run")

    run.go(die_after=moments(before, kind)[-1])
    run.go(die_after=1)
    run.go(die_after=2)
    again = run.go()

    assert all(torch.equal(weights[name], again[name]) for name in weights)
    assert before.told() == run.told()
    assert 3 == len(run.lm.asked)


def test_a_rule_that_waits_behind_the_live_one_is_there_after_a_resume(tmp_path):
    lm = scripted(ADAM, after(14, 'p.fill_(float("nan"))'))
    batches = models.batches()

    def train(saved=None):
        model = models.make("mlp")
        with agent_over(model, lm=lm) as agent:
            if saved is not None:
                model.load_state_dict(saved[0])
                agent.load_state_dict(saved[1])
            kept = None
            while agent.step_count < 40:
                if agent.step_count in (8, 16) and not any(
                    each.step == agent.step_count for each in agent.decisions
                ):
                    agent.decide()
                agent.step(batches[agent.step_count % 3])
                if agent.step_count == 20:
                    kept = copy.deepcopy((model.state_dict(), agent.state_dict()))
            verdicts = [each.verdict for each in agent.decisions]
            return model.state_dict(), verdicts, agent.optimizer.running.digest, kept

    weights, verdicts, live, kept = train()
    again, same_verdicts, same_live, _ = train(kept)

    assert ["applied", "rolled_back"] == verdicts == same_verdicts
    assert live == same_live is not None
    assert all(torch.equal(weights[name], again[name]) for name in weights)


@pytest.mark.parametrize(
    "damage",
    [
        lambda guard: guard.pop("judge"),
        lambda guard: guard.update(snapshot={"values": []}),
        lambda guard: guard.update(at_swap=None),
        lambda guard: guard["snapshot"].update(values=[torch.ones(1)] * 4),
    ],
)
def test_a_guard_that_somebody_changed_is_refused(damage):
    with agent_over(models.make("mlp"), ADAM) as agent:
        batches = models.batches()
        for step in range(8):
            agent.step(batches[step % 3])
        agent.decide()
        agent.step(batches[2])
        state = agent.state_dict()
        damage(state["guard"])

        with pytest.raises(CheckpointRefused, match="what the guard remembered"):
            agent.load_state_dict(state)
