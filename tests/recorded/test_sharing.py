"""What a rule has under two names: written to through one, it is read through both."""

from contextlib import closing

import pytest
import torch

from dux_sandbox.recorded.tape import Unrecordable
from dux_sandbox.replaying.foreseen import foresee
from dux_sandbox.replaying.replay import Replay
from dux_sandbox.running import InlineRule
from tests.recorded.recording import BOUNDS, Here, twin_of
from tests.recorded.test_again import give_gradients
from tests.recorded.test_recording import groups_of, parameters_in, steps_beside


def rule(step, begin="self.t = 0", options="lr=lr", each=""):
    """A rule with these lines in its step for each parameter."""

    def indented(lines, by):
        return "".join(f"{' ' * by}{line}\n" for line in lines.splitlines())

    return (
        "import torch\n\n\nclass Rule(torch.optim.Optimizer):\n"
        "    def __init__(self, params, lr=0.01):\n"
        f"        super().__init__(params, dict({options}))\n"
        f"{indented(begin, 8)}\n"
        "    @torch.no_grad()\n    def step(self, closure=None):\n"
        f"{indented(each, 8)}"
        "        for group in self.param_groups:\n"
        '            for p in group["params"]:\n'
        "                if p.grad is None:\n                    continue\n"
        f"{indented(step, 16)}"
    )


# Nothing of it can be seen before the ninth step.
COUNTED = """\
group["seen"][0] += float(p.grad.abs().sum())
if self.t > 8:
    p.sub_(p.grad, alpha=group["lr"] / (1 + group["seen"][0]))
"""


def test_a_default_that_all_groups_write_to_is_one_list():
    source = rule(COUNTED, options="lr=lr, seen=[0.0]", each="self.t += 1")

    replay, _, ruled, pairs = steps_beside(source, steps=14)

    for one, other in pairs:
        assert torch.allclose(other, one, rtol=1e-6, atol=1e-7)
    wanted = [group["seen"][0] for group in ruled.optimizer.param_groups]
    found = [each["seen"][0] for each in replay.places.options]
    assert wanted[0] == wanted[1]
    assert found == pytest.approx(wanted)


def test_a_buffer_of_radam_is_filled_for_all_groups():
    step = """\
s = self.state[p]
s["step"] = s.get("step", 0) + 1
slot = group["buffer"][s["step"] % 10]
if slot[0] != s["step"]:
    slot[0], slot[1] = s["step"], group["lr"] / s["step"]
p.sub_(p.grad, alpha=slot[1])
"""
    buffer = "buffer=[[None, None] for _ in range(10)]"
    source = rule(step, options=f"lr=lr, {buffer}")
    missing = {(step, 4) for step in (2, 3, 8)}

    replay, _, ruled, pairs = steps_beside(source, steps=14, missing=missing)

    for one, other in pairs:
        assert torch.equal(other, one)
    wanted = [group["buffer"] for group in ruled.optimizer.param_groups]
    assert [each["buffer"] for each in replay.places.options] == wanted


def test_a_default_that_no_group_writes_to_stays_one_for_each():
    source = rule(
        'p.sub_(p.grad, alpha=group["lr"] * group["parts"][0])',
        options="lr=lr, parts=[0.5, 0.25]",
    )

    replay, here, _, _ = steps_beside(source)

    assert [0.5, 0.25] == replay.places.options[1]["parts"]
    for program in here.programs:
        assert not [x for x in program.outputs if x.place[0] == "option"]


@pytest.mark.parametrize(
    ("begin", "step", "options"),
    [
        (
            "self.seen = [0.0]\nself.all = self.seen",
            "self.seen[0] += float(p.grad.sum())\n"
            'p.sub_(p.grad, alpha=group["lr"] * self.all[0])',
            "lr=lr",
        ),
        (
            'self.seen = self.param_groups[0]["seen"]',
            "self.seen.append(1)\nif len(self.seen) > 3:\n    self.seen.pop(0)\n"
            'p.sub_(p.grad, alpha=group["lr"])',
            "lr=lr, seen=[]",
        ),
        (
            "self.seen = [0.0]",
            's = self.state[p]\ns["seen"] = self.seen\np.sub_(p.grad)',
            "lr=lr",
        ),
        (
            "self.a = torch.zeros(1)\nself.b = self.a",
            "self.a += 1\np.sub_(p.grad, alpha=float(self.b))",
            "lr=lr",
        ),
        (
            "self.t = 0",
            "s = self.state[p]\nif not s:\n"
            '    s["m"] = torch.zeros_like(p)\n    s["same"] = s["m"]\n'
            's["m"].add_(p.grad)\np.sub_(s["same"])',
            "lr=lr",
        ),
    ],
    ids=["two attributes", "an option", "in the state", "tensors", "kept tensors"],
)
def test_what_has_two_names_is_not_recorded_as_two(begin, step, options):
    source = rule(step, begin, options)

    why = foresee(source, groups_of()).why

    assert why is not None
    assert "under two names" in why.message
    assert why.line is not None


def test_a_list_under_two_names_that_nobody_writes_to_is_recorded():
    source = rule(
        'p.sub_(p.grad, alpha=group["lr"] * self.same[0] * group["parts"][1])',
        'self.parts = self.param_groups[0]["parts"]\nself.same = self.parts',
        "lr=lr, parts=[0.5, 0.25]",
    )

    _, _, _, pairs = steps_beside(source)

    for one, other in pairs:
        assert torch.equal(other, one)


def test_a_default_that_is_written_to_and_replaced_is_not_recorded():
    step = """\
group["seen"].append(float(p.grad.abs().sum()))
group["seen"] = group["seen"][-3:]
p.sub_(p.grad, alpha=group["lr"] / (1 + group["seen"][0]))
"""
    with pytest.raises(Unrecordable, match=r"two names.*group\['seen'\]"):
        steps_beside(rule(step, options="lr=lr, seen=[]"))


def test_two_clones_of_one_gradient_are_two_tensors():
    source = rule(
        """\
s = self.state[p]
if not s:
    s["a"], s["b"] = p.grad.clone(), p.grad.clone()
else:
    s["a"].mul_(0.5)
    s["b"].add_(p.grad)
p.sub_(s["a"] + 2 * s["b"], alpha=group["lr"])"""
    )
    groups = groups_of()
    others = twin_of(groups)
    theirs = InlineRule.build(source, others)
    here = Here(source, groups)
    replay = Replay(parameters_in(groups), here, BOUNDS, compiles=True)
    with closing(replay):
        replay.build(here.build())
        for _ in range(4):
            give_gradients(groups, others)
            replay.step(None, None)
            theirs.step()
            pairs = zip(parameters_in(groups), parameters_in(others), strict=True)
            assert all(torch.equal(one, other) for one, other in pairs)
