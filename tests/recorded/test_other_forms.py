"""Forms of calls that published rules have, recorded beside the same rules inline."""

import pytest
import torch

from dux_sandbox.recorded.program import Program
from dux_sandbox.recorded.tape import Unrecordable
from tests.recorded.recording import replay_of
from tests.recorded.test_recording import groups_of, parameters_in, steps_beside
from tests.sources import with_step

FORMS = {
    "a factor first": """\
p.add_(-0.1 * p.grad.norm(), p.grad)
                p.sub_(p.grad.mean(), p.grad)
                p.addcmul_(-0.1 * p.grad.norm(), p.grad, p.grad)
                p.addcdiv_(-0.1 * p.grad.mean(), p.grad, p.abs() + 1)
                p.copy_(torch.add(p, 0.1 * p.grad.mean(), p.grad))
                p.add_(-0.01 * self.t, p.grad)""",
    "a number first": """\
p.sub_(torch.div(1.0, 1.0 + torch.exp(-p.grad.abs())) * p.grad)
                p.sub_(torch.mul(group["lr"], p.grad))
                p.copy_(torch.sub(1, torch.sub(self.t, p)) + torch.add(self.t, -1 * p))
                p.mul_(torch.div(2, (p > 0).long() + 3))""",
    "bits": """\
g = p.grad.clone()
                noise = torch.randint_like(g, low=0, high=1 << 16, dtype=torch.int32)
                noise.add_(g.view(dtype=torch.int32)).bitwise_and_(-65536)
                p.sub_(noise.view(torch.float32), alpha=0.1)
                g.view(torch.int32).bitwise_and_(-65536)
                p.sub_(g, alpha=0.1)""",
    "a root of torch's own": """\
st = self.state[p]
                st.setdefault("step", torch.zeros(()))
                st["step"] += 1
                p.sub_(p.grad, alpha=0.1 * _dispatch_sqrt(1 - 0.9 ** st["step"].item()))
                p.sub_(p.grad, alpha=0.1 / _dispatch_sqrt(1 + st["step"]).item())""",
    "repeated": """\
for factor in repeat(0.1, self.t):
                    p.sub_(p.grad, alpha=factor)""",
}


def rule_of(form: str) -> str:
    head = "import math\nfrom itertools import repeat\n"
    head += "from torch.optim.optimizer import _dispatch_sqrt\n"
    body = f"""\
        for group in self.param_groups:
            for p in group["params"]:
                {FORMS[form]}
"""
    return with_step(body).replace("import math\n", head, 1)


@pytest.mark.filterwarnings("ignore:This overload")
@pytest.mark.parametrize("form", FORMS)
def test_a_form_is_recorded_as_it_is(form):
    replay, _, _, pairs = steps_beside(rule_of(form), steps=4)

    assert replay.steps == 4
    for one, other in pairs:
        assert torch.equal(other, one)


@pytest.mark.parametrize("given", ["{'t': self.t}", "closure", "p", "(p, 1.0)"])
def test_what_a_step_returns_and_is_no_loss_is_nobodys(given):
    source = with_step("").replace("return None", f"return {given}")

    replay, here, _, pairs = steps_beside(source, steps=2)

    assert all(isinstance(each, Program) for each in here.programs)
    assert replay.step(None, None) is None
    for one, _ in pairs:
        assert torch.isfinite(one).all()


def test_bytes_in_other_pieces_are_refused_by_name():
    groups = groups_of()
    source = with_step(
        """\
        for group in self.param_groups:
            for p in group["params"]:
                p.sub_(p.grad.view(torch.int16).float().mean())
"""
    )
    replay, _ = replay_of(source, groups)
    for each in parameters_in(groups):
        each.grad = torch.ones_like(each)

    with pytest.raises(Unrecordable, match="in other pieces"):
        replay.step(None, None)
