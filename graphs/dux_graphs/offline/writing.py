"""Writes the class of a plan: one commented `torch.optim.Optimizer` subclass."""

import textwrap
from dataclasses import dataclass

from dux_graphs.offline.moving import moves, remembered
from dux_graphs.offline.plan import Plan

NOTICE = (
    "Written by offline-rules: fixed rules read the figures of the prompt."
    " This is NOT a language model."
)
_COMMENT_COLUMNS = 86


@dataclass(frozen=True)
class _Family:
    """The parts of a class that differ: its name, its buffers and its update."""

    class_name: str
    title: str
    buffers: tuple[str, ...]
    update: str


_ADAM_UPDATE = """\
m, v = state["m"], state["v"]
m.mul_(b1).add_(g, alpha=1.0 - b1)
v.mul_(b2).addcmul_(g, g, value=1.0 - b2)
denom = (v / (1.0 - b2**n)).sqrt_().add_(group["eps"])
update = (m / (1.0 - b1**n)).div_(denom)
"""

_FAMILIES = {
    "sgd": _Family(
        "RuleBasedSGD",
        "SGD with Nesterov momentum",
        ("m",),
        """\
m = state["m"]
m.mul_(b1).add_(g)
update = g + m * b1
""",
    ),
    "rmsprop": _Family(
        "RuleBasedRMSprop",
        "RMSprop",
        ("v",),
        """\
v = state["v"]
v.mul_(b2).addcmul_(g, g, value=1.0 - b2)
update = g / (v / (1.0 - b2**n)).sqrt_().add_(group["eps"])
""",
    ),
    "adam": _Family("RuleBasedAdam", "Adam", ("m", "v"), _ADAM_UPDATE),
    "adamw": _Family("RuleBasedAdamW", "AdamW", ("m", "v"), _ADAM_UPDATE),
    "lion": _Family(
        "RuleBasedLion",
        "Lion",
        ("m",),
        """\
m = state["m"]
update = (m * b1 + g * (1.0 - b1)).sign_()
m.mul_(b2).add_(g, alpha=1.0 - b2)
""",
    ),
    "muon": _Family(
        "RuleBasedMuon",
        "Muon on hidden matrices, Adam on the rest",
        ("m", "v"),
        """\
m = state["m"]
m.mul_(b1).add_(g, alpha=1.0 - b1)
if hidden:
    # Nesterov look-ahead, then all directions of the matrix made alike; the
    # factor gives the step the size of an Adam step.
    ahead = (g * (1.0 - b1) + m * b1).reshape(p.shape[0], -1)
    factor = 0.2 * math.sqrt(max(ahead.shape))
    update = self._orthogonalized(ahead).mul_(factor).reshape(p.shape)
else:
    v = state["v"]
    v.mul_(b2).addcmul_(g, g, value=1.0 - b2)
    denom = (v / (1.0 - b2**n)).sqrt_().add_(group["eps"])
    update = (m / (1.0 - b1**n)).div_(denom)
    rate = rate * group["adam_share"]
""",
    ),
}

_ORTHOGONALIZED = '''\
@staticmethod
def _orthogonalized(matrix, steps=5):
    """The nearest matrix with all singular values near one (Newton-Schulz)."""
    x = matrix.float()
    tall = x.shape[0] > x.shape[1]
    if tall:
        x = x.t()
    x = x / (x.norm() + 1e-12)
    for _ in range(steps):
        s = x @ x.t()
        x = 3.4445 * x + (-4.7750 * s + 2.0315 * (s @ s)) @ x
    if tall:
        x = x.t()
    return x.to(matrix.dtype)
'''

_SHARE = '''\
@staticmethod
def _share(n, group):
    """Share of the learning rate at step n: warm-up, hold, linear decay."""
    warm = min(1.0, n / group["warmup"])
    span = max(1, group["total"] - group["hold"])
    passed = min(1.0, max(0.0, (n - 1 - group["hold"]) / span))
    return warm * (1.0 - (1.0 - group["final"]) * passed)
'''


def title_of(family: str) -> str:
    """What a family is called in comments and summaries."""
    return _FAMILIES[family].title


def write_source(plan: Plan) -> str:
    """The source of one optimizer, commented: what the numbers say, what changes."""
    family = _FAMILIES[plan.family]
    muon = plan.family == "muon"
    blocks = [_comments(plan), "import math\n" if _needs_math(plan) else ""]
    blocks.append("import torch\n\n\n")
    blocks.append(f"class {family.class_name}(torch.optim.Optimizer):\n")
    if muon and plan.plain_shapes:
        shapes = ", ".join(str(tuple(shape)) for shape in plan.plain_shapes)
        blocks.append("    # embeddings and the output layer: Adam suits them better\n")
        blocks.append(f"    plain_shapes = [{shapes}]\n\n")
    if plan.back:
        blocks.append("    carry = True  # what the rule before has kept\n\n")
    blocks.append(_indented(_constructor(plan), 4) + "\n")
    if muon:
        blocks.append(_indented(_ORTHOGONALIZED, 4) + "\n")
    blocks.append(_indented(_SHARE, 4) + "\n")
    blocks.append(_indented(_step(plan, family), 4))
    return "".join(blocks)


def _needs_math(plan: Plan) -> bool:
    return plan.clip is not None or plan.family == "muon"


def _comments(plan: Plan) -> str:
    lines = _wrapped(NOTICE, "# ", "# ")
    for heading, sentences in (
        ("What the numbers say:", plan.numbers),
        ("What I change:", plan.changes),
    ):
        if sentences:
            lines.append(f"# {heading}")
            for sentence in sentences:
                lines += _wrapped(sentence, "# - ", "#   ")
    return "\n".join(lines) + "\n"


def _wrapped(text: str, first: str, later: str) -> list[str]:
    # One line of prompt text must never end the comment it is quoted in.
    return textwrap.wrap(
        " ".join(text.split()),
        _COMMENT_COLUMNS,
        initial_indent=first,
        subsequent_indent=later,
    )


def _constructor(plan: Plan) -> str:
    hyperparameters: dict[str, float | int] = {"lr": plan.lr}
    if plan.family == "muon":
        hyperparameters["adam_share"] = plan.adam_lr / plan.lr if plan.lr else 1.0
    if plan.family != "rmsprop":
        hyperparameters["b1"] = plan.momentum
    if plan.family != "sgd":
        hyperparameters["b2"] = plan.beta2
    if plan.family in ("rmsprop", "adam", "adamw", "muon"):
        hyperparameters["eps"] = 1e-8
    if plan.weight_decay:
        hyperparameters["weight_decay"] = plan.weight_decay
    if plan.clip is not None:
        hyperparameters["clip"] = plan.clip
    hyperparameters["warmup"] = max(1, plan.warmup)
    hyperparameters["hold"] = plan.hold
    hyperparameters["total"] = max(1, plan.total)
    hyperparameters["final"] = plan.final
    if plan.average:
        hyperparameters["average"] = plan.average
    arguments = textwrap.wrap(
        ", ".join(
            f"{name}={_number(value)}" for name, value in hyperparameters.items()
        ),
        70,
    )
    named = textwrap.wrap(", ".join(f"{name}={name}" for name in hyperparameters), 66)
    lines = ["def __init__(", "    self, params,"]
    lines += [f"    {line}" for line in arguments]
    lines += ["):", "    defaults = dict("]
    lines += [f"        {line}" for line in named]
    lines += ["    )", "    super().__init__(params, defaults)"]
    return "\n".join(lines) + "\n"


def _number(value: float | int) -> str:
    return str(value) if isinstance(value, int) else f"{value:.4g}"


_CLIPPED_NORM = """\
# the length of the whole gradient, for clipping
squares = 0.0
for group in self.param_groups:
    for p in group["params"]:
        if p.grad is not None:
            squares += float(p.grad.norm()) ** 2
norm = math.sqrt(squares)
if not math.isfinite(norm):
    return loss

"""


def _buffers(plan: Plan, family: _Family) -> str:
    """The lines that make what a parameter remembers."""
    buffers = "".join(
        f'    state["{name}"] = torch.zeros_like(p)\n' for name in family.buffers
    )
    if plan.family == "muon":
        buffers = (
            '    state["m"] = torch.zeros_like(p)\n'
            "    if not hidden:\n"
            '        state["v"] = torch.zeros_like(p)\n'
        )
    return buffers + remembered(plan)


def _step(plan: Plan, family: _Family) -> str:
    each = "if p.grad is None or p.numel() == 0:\n    continue\n"
    if plan.family == "muon":
        small = "p.ndim >= 2 and p.shape[0] > 1 and p.numel() > p.shape[0]"
        if plan.plain_shapes:
            each += f"hidden = {small}\n"
            each += "hidden = hidden and tuple(p.shape) not in self.plain_shapes\n"
        else:
            each += f"hidden = {small}\n"
    each += "g = p.grad * scale\n" if plan.clip is not None else "g = p.grad\n"
    each += "state = self.state[p]\nif len(state) == 0:\n"
    each += '    state["step"] = 0\n' + _buffers(plan, family)
    each += 'state["step"] += 1\nn = state["step"]\n'
    each += 'rate = group["lr"] * self._share(n, group)\n'
    each += family.update
    if plan.weight_decay:
        each += "if p.ndim >= 2:\n"
        each += '    p.mul_(1.0 - rate * group["weight_decay"])\n'
    each += "p.add_(update, alpha=-rate)\n"
    each += moves(plan)
    head = (
        "@torch.no_grad()\n"
        "def step(self, closure=None):\n"
        "    loss = None\n"
        "    if closure is not None:\n"
        "        with torch.enable_grad():\n"
        "            loss = closure()\n\n"
    )
    body = _CLIPPED_NORM if plan.clip is not None else ""
    body += "for group in self.param_groups:\n"
    options = []
    if plan.family != "rmsprop":
        options.append('b1 = group["b1"]')
    if plan.family != "sgd":
        options.append('b2 = group["b2"]')
    if plan.clip is not None:
        options.append('scale = min(1.0, group["clip"] / (norm + 1e-12))')
    body += "".join(f"    {option}\n" for option in options)
    body += '    for p in group["params"]:\n'
    body += _indented(each, 8)
    body += "return loss\n"
    return head + _indented(body, 4)


def _indented(text: str, columns: int) -> str:
    return textwrap.indent(text, " " * columns)
