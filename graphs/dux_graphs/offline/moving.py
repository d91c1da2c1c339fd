"""What a written class does to weights beside its steps: a mean, or the way back."""

from dux_graphs.offline.plan import Plan


def remembered(plan: Plan) -> str:
    """The lines that make what a parameter remembers for it."""
    lines = '    state["mean"] = torch.zeros_like(p)\n' if plan.average else ""
    lines += '    state["begun"] = p.clone()\n' if plan.begun or plan.back else ""
    return lines + ('    state["gone"] = 0\n' if plan.back else "")


def moves(plan: Plan) -> str:
    """The lines that follow a parameter's step."""
    lines = _AVERAGE if plan.average else ""
    lines += _HALFWAY if plan.halfway else ""
    return lines + (_BACK if plan.back else "")


_AVERAGE = """\
# the mean of the last weights has less of the noise of the steps
begun = n - (group["total"] - group["average"])
if 0 < begun <= group["average"]:
    mean = state["mean"]
    mean.add_(p - mean, alpha=1.0 / begun)
    if n == group["total"]:
        p.copy_(mean)
"""

_HALFWAY = """\
# the middle of two weights that have come to rest is better than either
if n == group["total"]:
    p.lerp_(state["begun"], 0.5)
"""

_BACK = """\
# step by step back to the weights with which the rule before began
state["gone"] += 1
state["begun"].add_(update, alpha=-rate)
p.lerp_(state["begun"], 1.0 / max(1, group["total"] + 1 - state["gone"]))
"""
