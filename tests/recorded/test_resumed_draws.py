"""Rules that draw go on from a file where they were, wherever they run then."""

import io
import sys
from contextlib import ExitStack, closing

import pytest
import torch

from dux_agent.live.optimizer import DuxOptimizer
from dux_agent.live.swap import swap
from dux_sandbox.executions import EXECUTIONS
from dux_sandbox.limits import Limits
from tests.sources import with_step

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs the jail")

_DROPOUT = with_step(
    """\
        own = torch.Generator().manual_seed(self.t)
        for group in self.param_groups:
            for p in group["params"]:
                kept = torch.rand(p.shape, generator=self.own) > 0.3
                noise = torch.randn(p.shape, generator=own) * 0.1
                p.sub_(p.grad * kept + noise, alpha=group["lr"])
""",
    "        self.own = torch.Generator().manual_seed(7)\n",
)
_SEEDED = with_step(
    """\
        if self.t % 2:
            torch.manual_seed(self.t)
        for group in self.param_groups:
            for p in group["params"]:
                p.sub_(p.grad + torch.randn_like(p) * 0.1, alpha=group["lr"])
""",
)
_KINDS = ("recorded", "isolated", "inline")


def live_over(kind, weight, ending):
    base = torch.optim.SGD([weight], lr=0.02)

    def build(source, groups):
        return EXECUTIONS[kind].build(source, groups, limits=Limits(), seed=0)

    return ending.enter_context(closing(DuxOptimizer(base, build=build)))


def steps(live, weight, begin, end):
    for step in range(begin, end):
        generator = torch.Generator().manual_seed(1000 + step)
        weight.grad = torch.randn(weight.shape, generator=generator)
        live.step()


@pytest.mark.parametrize("source", [_DROPOUT, _SEEDED], ids=["dropout", "seeded"])
@pytest.mark.parametrize("kind", _KINDS)
def test_draws_go_on_from_a_file_to_the_last_bit(kind, source):
    file, weight = io.BytesIO(), torch.nn.Parameter(torch.ones(6, 5))
    with ExitStack() as ending:
        live = live_over(kind, weight, ending)
        swap(live, source)
        steps(live, weight, 0, 3)
        then = weight.detach().clone()
        torch.save(live.state_dict(), file)
        steps(live, weight, 3, 6)

    for other in _KINDS:
        again = torch.nn.Parameter(then.clone())
        file.seek(0)
        with ExitStack() as ending:
            live = live_over(other, again, ending)
            live.load_state_dict(torch.load(file, weights_only=True))
            steps(live, again, 3, 6)

        assert torch.equal(weight.detach(), again.detach()), other
