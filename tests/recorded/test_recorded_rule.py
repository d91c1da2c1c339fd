"""Rules that run recorded: what a training loop meets of them."""

import sys
from pathlib import Path

import pytest
import torch

from dux_agent.run_folder import trace
from dux_sandbox.executions import INLINE, ISOLATED, RECORDED
from dux_sandbox.findings import RuleFailed
from dux_sandbox.limits import Limits
from dux_sandbox.recorded.json_form import ProgramRefused
from dux_sandbox.recorded.kernels.compiling import LOADED
from dux_sandbox.recorded.program import TensorType
from dux_sandbox.recorded.tape import Unrecordable
from dux_sandbox.replaying.bounds import Bounds
from dux_sandbox.replaying.proof import _require_near, chosen
from dux_sandbox.replaying.replay import Replay
from dux_sandbox.running_rule import RuleState
from tests import models
from tests.recorded.programs import Writing
from tests.recorded.recording import BOUNDS, replay_of, twin_of
from tests.recorded.test_recording import groups_of, parameters_in
from tests.sources import MOMENTUM, SGD, counting, with_step
from tests.talking import agent_over, run, scripted

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs the jail")
CORPUS = Path(__file__).parents[1] / "corpus"


@pytest.fixture
def build(request):
    """Makes a rule of a kind, bound to its groups, and closes it afterwards."""

    def make(kind, source, groups, **more):
        rule = kind.build(source, groups, limits=Limits(**more), seed=0)
        request.addfinalizer(rule.close)
        for group, options in zip(groups, rule.options, strict=True):
            group.update(options)
        rule.bind(groups)
        return rule

    return make


def give_gradients(pairs, step):
    generator = torch.Generator().manual_seed(step)
    for one, other in pairs:
        values = torch.randn(one.shape, generator=generator)
        one.grad, other.grad = values, values.clone()


def both(build, source, **more):
    groups = groups_of()
    others = twin_of(groups)
    rules = build(RECORDED, source, groups, **more), build(INLINE, source, others)
    pairs = list(zip(parameters_in(groups), parameters_in(others), strict=True))
    return *rules, groups, others, pairs


def assert_near(one, other):
    """A kernel may round the last bits otherwise; see docs/recorded.md."""
    torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "path", ["benign/radam.py", "benign/muon.py", "written/sine_rnn_0_rich_epoch2.py"]
)
def test_a_rule_runs_recorded_and_does_the_same(build, path):
    source = (CORPUS / path).read_text()
    recorded, inline, groups, others, pairs = both(build, source)

    for step in range(8):
        give_gradients(pairs, step)
        for each in (*groups, *others):
            each["lr"] = 0.01 / (1 + step)
        recorded.step()
        inline.step()

    assert ("recorded", None) == (recorded.mode, recorded.why)
    for one, other in pairs:
        assert_near(one, other)
    mine, theirs = recorded.snapshot(), inline.snapshot()
    assert theirs.attributes == mine.attributes
    for index, entry in theirs.state.items():
        assert list(entry) == list(mine.state[index])
        for name, value in entry.items():
            assert_near(
                torch.as_tensor(value), torch.as_tensor(mine.state[index][name])
            )
    held = sum(
        value.numel() * value.element_size()
        for entry in mine.state.values()
        for value in entry.values()
        if isinstance(value, torch.Tensor)
    )
    assert held == recorded.state_bytes


def test_a_rule_that_cannot_be_recorded_runs_isolated_and_says_why(build):
    source = with_step(
        "        self.n = len(self.param_groups[0]['params'][0].unique())\n"
    )

    recorded, *_ = both(build, source)

    assert "isolated" == recorded.mode
    assert "recording" == recorded.why.rule
    assert "cannot be recorded" in recorded.why.message


TURNING = with_step(
    """\
        self.total = getattr(self, "total", 0.0) + 1.0
        for group in self.param_groups:
            for p in group["params"]:
                state = self.state[p]
                if "m" not in state:
                    state["m"] = torch.zeros_like(p)
                state["m"].mul_(0.5).add_(p.grad)
                p.sub_(state["m"], alpha=0.01)
                if self.t == 6:
                    p.add_(p.unique().sum() * 0.0)
"""
)


def test_a_rule_that_can_no_longer_be_recorded_goes_on_isolated(build):
    recorded, inline, _, _, pairs = both(build, TURNING)

    modes = []
    for step in range(8):
        give_gradients(pairs, step)
        recorded.step()
        inline.step()
        modes.append(recorded.mode)

    assert ["recorded"] * 5 + ["isolated"] * 3 == modes
    assert 1 + TURNING[: TURNING.index("unique")].count("\n") == recorded.why.line
    assert all(torch.equal(one, other) for one, other in pairs)
    assert 8.0 == recorded.snapshot().attributes["total"]


NOISE = """\
                p.add_(torch.randn_like(p), alpha=0.01)
                p.add_(torch.rand(p.shape, generator=self.own), alpha=0.01)
                if self.t == 6:
"""
DRAWING = TURNING.replace("                if self.t == 6:\n", NOISE).replace(
    "self.t = 0", "self.t = 0\n        self.own = torch.Generator().manual_seed(3)"
)


@pytest.mark.parametrize("dies", [False, True])
@pytest.mark.parametrize("source", [TURNING, DRAWING], ids=["plain", "drawing"])
def test_what_goes_on_isolated_is_as_if_it_had_been_from_the_start(build, source, dies):
    groups = groups_of()
    others = twin_of(groups)
    recorded, isolated = (
        build(RECORDED, source, groups),
        build(ISOLATED, source, others),
    )
    pairs = list(zip(parameters_in(groups), parameters_in(others), strict=True))

    for step in range(9):
        if dies and step == 4:
            recorded._process.close()
        give_gradients(pairs, step)
        recorded.step()
        isolated.step()

    assert "isolated" == recorded.mode
    assert all(torch.equal(one, other) for one, other in pairs)
    mine, theirs = recorded.snapshot(), isolated.snapshot()
    assert theirs.attributes.keys() == mine.attributes.keys()


def test_random_numbers_go_on_from_a_snapshot(build):
    for kind in (RECORDED, ISOLATED):
        groups = groups_of()
        others = twin_of(groups)
        one, other = build(kind, DRAWING, groups), build(kind, DRAWING, others)
        pairs = list(zip(parameters_in(groups), parameters_in(others), strict=True))
        give_gradients(pairs, 0)
        one.step()
        with torch.no_grad():
            for here, there in pairs:
                there.copy_(here)

        other.restore(one.snapshot())
        for step in range(3):
            give_gradients(pairs, step)
            one.step()
            other.step()

        assert all(torch.equal(here, there) for here, there in pairs)


def test_what_was_learned_goes_from_an_isolated_rule_into_a_recorded_one(build):
    recorded, inline, groups, _, pairs = both(build, MOMENTUM)
    for step in range(3):
        give_gradients(pairs, step)
        inline.step()
    with torch.no_grad():
        for one, other in pairs:
            one.copy_(other)

    recorded.restore(inline.snapshot())
    give_gradients(pairs, 9)
    recorded.step()
    inline.step()

    assert all(torch.equal(one, other) for one, other in pairs)
    assert {"t": 4} == recorded.snapshot().attributes


def test_a_closure_is_called_once_and_its_loss_comes_back(build):
    recorded, _, _, _, pairs = both(build, MOMENTUM)
    losses = []

    def closure():
        give_gradients(pairs, len(losses))
        losses.append(torch.tensor(float(len(losses)), requires_grad=True))
        return losses[-1]

    found = [recorded.step(closure) for _ in range(3)]

    assert "recorded" == recorded.mode
    assert all(one is other for one, other in zip(found, losses, strict=True))


SEARCHING = (CORPUS / "benign" / "closure_linesearch.py").read_text()


def test_a_rule_that_calls_its_closure_often_is_recorded_without_one_only(build):
    recorded, _, _, _, pairs = both(build, SEARCHING)
    give_gradients(pairs, 0)
    calls = []

    def closure():
        calls.append(1)
        return torch.tensor(1.0)

    recorded.step()
    first = recorded.mode
    recorded.step(closure)

    assert ("recorded", "isolated") == (first, recorded.mode)
    assert len(calls) > 1


def test_a_number_that_python_cannot_compute_is_the_rules_own_fault(build):
    source = with_step("        self.rate = 1.0 / (4 - self.t)\n")
    recorded, _, _, _, pairs = both(build, source)
    for step in range(3):
        give_gradients(pairs, step)
        recorded.step()
    weights = [one for one, _ in pairs]
    before = [each.detach().clone() for each in weights]

    with pytest.raises(RuleFailed, match="ZeroDivisionError"):
        recorded.step()

    assert all(map(torch.equal, before, weights))


class Nobody:
    """A process that records nothing more."""

    def step(self, asked):
        raise AssertionError("a step was recorded again")


@pytest.mark.parametrize("closure", [None, "float32"])
def test_what_was_recorded_once_is_not_recorded_again_for_others(closure):
    groups, loss = groups_of(), None if closure is None else torch.tensor(1.0)
    others = twin_of(groups)
    first, here = replay_of(MOMENTUM, groups)
    second = Replay(parameters_in(others), Nobody(), BOUNDS)
    second.build(here.build())
    pairs = list(zip(parameters_in(groups), parameters_in(others), strict=True))
    for step in range(3):
        give_gradients(pairs, step)
        first.step(closure, loss)

    second.adopt(first.recorded)
    for one, other in pairs:
        other.data.copy_(one)
    second.kept.take(first.kept.state())
    for step in range(3, 6):
        give_gradients(pairs, step)
        first.step(closure, loss)
        second.step(closure, loss)

    assert all(torch.equal(one, other) for one, other in pairs)


@pytest.mark.parametrize("closure", [False, True])
def test_no_kernel_is_compiled_in_a_step_of_a_rule_that_is_built(build, closure):
    groups = groups_of()
    pairs = [(each, each) for each in parameters_in(groups)]
    RECORDED.prepare(MOMENTUM, groups, limits=Limits(), seed=0)
    before = set(LOADED)
    recorded = build(RECORDED, MOMENTUM, groups)

    for step in range(3):
        give_gradients(pairs, step)
        recorded.step((lambda: torch.tensor(1.0)) if closure else None)

    assert "recorded" == recorded.mode
    assert before == set(LOADED)


class Forging:
    """A process that sends any program."""

    def __init__(self, program):
        self.program = program

    def step(self, asked):
        return self.program, 0


def writes_what_it_reads(place, kind):
    writing = Writing()
    value = writing.read(*place, type=kind)
    writing.write(value, *place)
    return writing.program()


@pytest.mark.parametrize(
    ("place", "kind"),
    [
        (("parameter", 9), TensorType("float32", (3,))),
        (("parameter", 0), TensorType("float32", (3,))),
        (("gradient", 0), TensorType("float32", (20, 18))),
        (("state", 0, "m"), TensorType("float32", (20, 18))),
        (("option", 0, "lr"), "int"),
        (("option", 3, "lr"), "float"),
    ],
)
def test_a_forged_program_is_refused_and_changes_nothing(place, kind):
    groups = groups_of()
    weights = parameters_in(groups)
    before = [each.detach().clone() for each in weights]
    replay = Replay(weights, Forging(writes_what_it_reads(place, kind)), BOUNDS)
    replay.options = [{"lr": 0.1}, {}]

    with pytest.raises(ProgramRefused):
        replay.step(None, None)

    assert all(map(torch.equal, before, weights))
    assert [{"lr": 0.1}, {}] == replay.options


def test_keeping_more_than_the_bound_is_refused():
    groups = groups_of()
    tight = Bounds(1 << 20, 1000, 1 << 30, 1e9)
    replay, here = replay_of(MOMENTUM, groups)
    replay = Replay(parameters_in(groups), here, tight)
    replay.build(here.build())
    for each in parameters_in(groups):
        each.grad = torch.ones_like(each)

    with pytest.raises(ProgramRefused, match="keep"):
        replay.step(None, None)


def test_a_state_that_is_put_back_replaces_all(build):
    recorded, _, _, _, pairs = both(build, MOMENTUM)
    give_gradients(pairs, 0)
    recorded.step()

    recorded.restore(RuleState({}, {"t": 7}))

    assert {} == recorded.snapshot().state
    assert {"t": 7} == recorded.snapshot().attributes


@pytest.mark.parametrize(
    ("one", "other", "near"),
    [
        (torch.ones(3), torch.ones(3) * (1 + 1e-6), True),
        (torch.ones(3), torch.ones(3) * (1 + 1e-3), False),
        (torch.ones(3), torch.tensor([1.0, 1.0, float("nan")]), False),
        (torch.tensor([float("inf")]), torch.tensor([float("inf")]), True),
        (torch.ones(3), torch.ones(2), False),
        (torch.ones(3), torch.ones(3).double(), False),
    ],
)
def test_a_proof_tells_other_values_from_rounding(one, other, near):
    if near:
        _require_near(one, other, "it", 0)
        return
    with pytest.raises(Unrecordable, match="when it is recorded"):
        _require_near(one, other, "it", 0)


def test_a_proof_over_many_weights_takes_two_of_each_shape():
    weights = [torch.nn.Parameter(torch.zeros(2048, 512)) for _ in range(6)]
    weights += [torch.nn.Parameter(torch.zeros(512))]

    (group,) = chosen([{"params": weights}])

    assert [(2048, 512)] * 2 + [(512,)] == [tuple(p.shape) for p in group["params"]]


@pytest.mark.parametrize("body", ["p.mul_(0.9)", "p.mul_(0.9 + 0 * p.unique().sum())"])
def test_the_trace_says_where_a_rule_runs_and_why(tmp_path, body):
    source = with_step(
        f"        for group in self.param_groups:\n"
        f"            for p in group['params']:\n"
        f"                {body}\n"
    )
    folder = tmp_path / "run"
    with agent_over(
        models.make("mlp"),
        lm=scripted(source),
        run_dir=folder,
        execution="recorded",
        accept="finite",
    ) as agent:
        run(agent, 4)
        agent.decide()

    events = trace.read(folder)
    event = next(each for each in events if each.kind == "apply")
    recorded = "unique" not in body
    assert ("recorded" if recorded else "isolated") == event.data["mode"]
    assert recorded is ("unique" not in (event.data.get("unrecorded") or ""))


def test_the_trace_says_where_a_rule_runs_that_can_no_longer_be_recorded(tmp_path):
    folder = tmp_path / "run"
    source = TURNING.replace("self.t == 6", "self.t == 9").strip()
    line = 1 + source[: source.index("unique")].count("\n")
    with agent_over(
        models.make("mlp"), lm=scripted(source), run_dir=folder, execution="recorded"
    ) as agent:
        run(agent, 4)
        agent.decide()
        run(agent, 12)

    (event,) = [each for each in trace.read(folder) if each.kind == "error"]
    assert ("unrecorded", "isolated") == (event.data["error"], event.data["mode"])
    assert f"line {line}" in event.data["message"]
    assert event.decision == 1


@pytest.mark.parametrize("waits", [False, True])
def test_a_rule_that_was_isolated_when_it_was_saved_goes_on_so(waits):
    source = TURNING.replace("self.t == 6", "self.t == 9").strip()
    first, model = models.make("mlp"), models.make("mlp")
    with agent_over(first, lm=scripted(source, MOMENTUM), execution="auto") as agent:
        run(agent, 4)
        agent.decide()
        run(agent, 12)
        if waits:
            agent.decide()
        saved = agent.state_dict()
        model.load_state_dict(first.state_dict())
        if waits:
            agent.optimizer.guard.breach("to see who comes back")
        run(agent, 5, first=16)

    with agent_over(model, lm=scripted(SGD), execution="auto") as agent:
        agent.load_state_dict(saved)
        if waits:
            agent.optimizer.guard.breach("to see who comes back")
        mode = agent.optimizer.running.mode
        run(agent, 5, first=16)

    assert "isolated" == mode
    assert all(map(torch.equal, first.parameters(), model.parameters()))


def test_what_a_rule_keeps_is_known_before_it_runs(build):
    recorded, _, _, _, pairs = both(build, MOMENTUM)
    weights = sum(one.numel() * one.element_size() for one, _ in pairs)

    before = recorded.state_bytes
    give_gradients(pairs, 0)
    recorded.step()

    assert (weights, weights) == (before, recorded.state_bytes)


def test_the_plan_of_a_decision_says_what_a_recorded_rule_keeps():
    with agent_over(
        models.make("mlp"), lm=scripted(MOMENTUM), execution="recorded"
    ) as agent:
        nobody = agent.plan().live_state
        run(agent, 4)
        agent.decide()
        plan = agent.plan()
        kept = agent.optimizer.running.state_bytes

    assert nobody is None
    assert kept == plan.live_state > 0
    assert "live rule's state" in str(plan)


def test_a_loop_with_another_default_device_records_its_rules(build):
    weight = torch.nn.Parameter(torch.ones(3, 2))
    weight.grad = torch.ones(3, 2)

    torch.set_default_device("meta")
    try:
        rule = build(RECORDED, MOMENTUM, [{"params": [weight]}])
        rule.step()
    finally:
        torch.set_default_device(None)

    assert ("recorded", None) == (rule.mode, rule.why)
    assert bool((weight < 1).all())


def test_a_step_that_never_ends_is_waited_for_no_longer_than_a_recording(build):
    source = counting(
        "[None for _ in range(10**6 * (n > 9)) for _ in range(10**6) if n < 0]\n"
        "                p.sub_(p.grad * lr)"
    )
    groups = groups_of()
    rule = build(RECORDED, source, groups, step_seconds=0.2)

    with pytest.raises(RuleFailed, match="used more than 0.20 s"):
        for _ in range(12):
            for each in parameters_in(groups):
                each.grad = torch.ones_like(each)
            rule.step()

    # Whoever noticed, the step or the look ahead of it, it is told so.
    assert "time" == rule.why.rule
    assert "it used more than 4.10 s" == rule.why.message
