"""Rules over a million weights, whose passes are ordered otherwise than over a few."""

from contextlib import closing

import pytest
import torch

from dux_sandbox.executions import EXECUTIONS
from dux_sandbox.limits import Limits
from tests.recorded.test_both_ways import CLAMP, SKIP, each_parameter

ADAPTED = """\
state["m"].lerp_(g, 0.1)
u = state["m"] / (g.abs() + 0.1)
w, n = p.norm().item(), u.norm().item()
ratio = w / n if w > 0 and n > 0 else 1.0
p.add_(u, alpha=-0.01 * min(ratio, 10.0))"""
NOISE = """\
p.add_(torch.randn_like(p), alpha=0.01 * float(g.norm()) / (1.0 + p.numel()))"""
RULES = {
    "adapted": ADAPTED,
    "clamped": CLAMP,
    "skipping": SKIP,
    "noise": NOISE,
    "rows": """\
c = state.setdefault("c", torch.zeros(p.shape[-1]))
c.lerp_(g.pow(2).mean(dim=0) if g.ndim > 1 else g.pow(2), 0.1)
u = g / (c.sqrt() + 1e-3)
u = u / max(1.0, float(u.norm()) / u.numel() ** 0.5)
p.sub_(0.01 * u)""",
}


def stepped(source, kind, missing):
    shapes = [(1024, 600), (700, 600), (600,), (5,)]
    generator = torch.Generator().manual_seed(0)
    weights = [torch.nn.Parameter(torch.randn(x, generator=generator)) for x in shapes]
    torch.manual_seed(0)  # what a recorded rule draws with is seeded so
    rule = EXECUTIONS[kind].build(
        source, [{"params": weights}], limits=Limits(), seed=0
    )
    groups = [{"params": weights, **rule.options[0]}]
    rule.bind(groups)
    with closing(rule):
        for step in range(12):
            for at, each in enumerate(weights):
                drawn = torch.randn(each.shape, generator=generator)
                each.grad = None if (step, at) in missing else drawn * 0.1
            rule.step()
        return weights, rule, rule.state_by_parameter()


@pytest.mark.parametrize("name", RULES)
def test_a_rule_over_a_million_weights_is_stepped_as_inline(name):
    source = each_parameter(RULES[name])
    missing = {(5, 0), (5, 3), (6, 1), (9, 0)}

    weights, rule, kept = stepped(source, "recorded", missing)
    others, _, theirs = stepped(source, "inline", missing)

    assert "recorded" == rule.mode
    for one, other in zip(weights, others, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)
        for name in theirs[other]:
            mine, his = (torch.as_tensor(x[name]) for x in (kept[one], theirs[other]))
            torch.testing.assert_close(mine, his, rtol=1e-5, atol=1e-6)
