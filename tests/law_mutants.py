"""Optimizers with exactly one bug each: what the laws are there to find.

Each is one of two sound rules with one piece of its text replaced; the rules
themselves break no law.
"""

# ruff: noqa: E501

import sys
from types import ModuleType

ADAM = """\
import torch


class Rule(torch.optim.Optimizer):
    def __init__(self, params, lr=0.01, betas=(0.9, 0.99), eps=1e-8, weight_decay=0.01):
        defaults = dict(lr=lr, betas=betas, eps=eps, weight_decay=weight_decay)
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(self, closure=None):
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            beta1, beta2 = group["betas"]
            for p in group["params"]:
                if p.grad is None:
                    continue
                grad = p.grad
                state = self.state[p]
                if len(state) == 0:
                    state["step"] = 0
                    state["m"] = torch.zeros_like(p)
                    state["v"] = torch.zeros_like(p)
                state["step"] += 1
                t = state["step"]
                state["m"].mul_(beta1).add_(grad, alpha=1 - beta1)
                state["v"].mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
                m = state["m"] / (1 - beta1**t)
                v = state["v"] / (1 - beta2**t)
                p.mul_(1 - group["lr"] * group["weight_decay"])
                p.addcdiv_(m, v.sqrt().add_(group["eps"]), value=-group["lr"])
        return loss
"""

SGD = """\
import torch


class Rule(torch.optim.Optimizer):
    def __init__(self, params, lr=0.01, momentum=0.9, weight_decay=0.0):
        super().__init__(params, dict(lr=lr, momentum=momentum, weight_decay=weight_decay))

    @torch.no_grad()
    def step(self, closure=None):
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                d = p.grad
                if group["weight_decay"]:
                    d = d.add(p, alpha=group["weight_decay"])
                state = self.state[p]
                if "buffer" not in state:
                    state["buffer"] = torch.zeros_like(p)
                state["buffer"].mul_(group["momentum"]).add_(d)
                p.add_(state["buffer"], alpha=-group["lr"])
        return loss
"""

_SUPER = "        super().__init__(params, defaults)\n"
_SGD_SUPER = "        super().__init__(params, dict(lr=lr, momentum=momentum, weight_decay=weight_decay))\n"
_CALL = "            with torch.enable_grad():\n                loss = closure()\n"
_LOOP = "        for group in self.param_groups:\n"
_NONE = "                if p.grad is None:\n                    continue\n"
_STEP = '                state["step"] += 1\n                t = state["step"]\n'
_MADE = '                    state["buffer"] = torch.zeros_like(p)\n'
_MOVE = '                p.add_(state["buffer"], alpha=-group["lr"])\n'
_INIT = '                if "buffer" not in state:\n' + _MADE
_DECAY = '                p.mul_(1 - group["lr"] * group["weight_decay"])\n'
_APPLY = (
    '                p.addcdiv_(m, v.sqrt().add_(group["eps"]), value=-group["lr"])\n'
)
_STATE = "                state = self.state[p]\n"
_RETURN = "        return loss\n"
_FIRST = "import torch\n"
_NO_GRAD = "    @torch.no_grad()\n"

# name -> (the sound rule, what is replaced by what, a law that must be broken)
MUTANTS = {
    # what is lost in a checkpoint
    "step_count_on_self": (
        ADAM,
        [
            (_SUPER, _SUPER + "        self.t = 0\n"),
            (_LOOP, "        self.t += 1\n" + _LOOP),
            (_STEP, "                t = self.t\n"),
        ],
        "checkpoint",
    ),
    "buffers_on_self": (
        SGD,
        [
            (_SGD_SUPER, _SGD_SUPER + "        self.held = {}\n"),
            (_STATE, "                state = self.held.setdefault(p, {})\n"),
        ],
        "checkpoint",
    ),
    "buffers_by_position_on_self": (
        SGD,
        [
            (_SGD_SUPER, _SGD_SUPER + "        self.held = {}\n"),
            (_LOOP, "        at = 0\n" + _LOOP),
            (
                _STATE,
                "                state = self.held.setdefault(at, {})\n"
                "                at += 1\n",
            ),
        ],
        "checkpoint",
    ),
    "state_by_id": (
        SGD,
        [(_STATE, "                state = self.state[id(p)]\n")],
        "checkpoint",
    ),
    "state_not_saved": (
        SGD,
        [
            (
                _NO_GRAD,
                "    def state_dict(self):\n"
                '        return {**super().state_dict(), "state": {}}\n\n' + _NO_GRAD,
            )
        ],
        "checkpoint",
    ),
    "state_emptied_by_saving": (
        SGD,
        [
            (
                _NO_GRAD,
                "    def state_dict(self):\n"
                "        held = super().state_dict()\n"
                "        self.state.clear()\n"
                "        return held\n\n" + _NO_GRAD,
            )
        ],
        "checkpoint",
    ),
    "groups_not_loaded": (
        SGD,
        [
            (
                _NO_GRAD,
                "    def load_state_dict(self, held):\n"
                "        rates = [group['lr'] for group in self.param_groups]\n"
                "        super().load_state_dict(held)\n"
                "        for group, lr in zip(self.param_groups, rates):\n"
                "            group['lr'] = lr\n\n" + _NO_GRAD,
            )
        ],
        "checkpoint",
    ),
    "load_ignored": (
        SGD,
        [
            (
                _NO_GRAD,
                "    def load_state_dict(self, held):\n        pass\n\n" + _NO_GRAD,
            )
        ],
        "checkpoint",
    ),
    "stale_state_after_load": (
        SGD,
        [
            (_SGD_SUPER, _SGD_SUPER + "        self.seen = {}\n"),
            (
                _STATE,
                "                state = self.seen.setdefault(p, self.state[p])\n",
            ),
        ],
        "checkpoint",
    ),
    "stale_groups_after_load": (
        SGD,
        [
            (_SGD_SUPER, _SGD_SUPER + "        self.groups = self.param_groups\n"),
            (_LOOP, "        for group in self.groups:\n"),
        ],
        "checkpoint",
    ),
    "float32_state": (
        SGD,
        [(_MADE, '                    state["buffer"] = torch.zeros(p.shape)\n')],
        "checkpoint",
    ),
    "float64_state": (
        SGD,
        [
            (
                _MADE,
                '                    state["buffer"] = torch.zeros(p.shape, '
                "dtype=torch.float64)\n",
            )
        ],
        "checkpoint",
    ),
    "generator_on_self": (
        SGD,
        [
            (
                _SGD_SUPER,
                _SGD_SUPER
                + "        self.generator = torch.Generator().manual_seed(0)\n",
            ),
            (
                _MOVE,
                _MOVE
                + "                p.add_(torch.randn(p.shape, "
                + 'generator=self.generator), alpha=-0.01 * group["lr"])\n',
            ),
        ],
        "checkpoint",
    ),
    "velocity_is_the_parameter": (
        SGD,
        [
            (_MADE, '                    state["buffer"] = p.detach()\n'),
            (
                '                state["buffer"].mul_(group["momentum"]).add_(d)\n',
                "",
            ),
            (
                _MOVE,
                '                p.add_(d + 0.1 * state["buffer"], alpha=-group["lr"])\n',
            ),
        ],
        "checkpoint",
    ),
    "function_in_the_state": (
        SGD,
        [(_MADE, _MADE + '                    state["f"] = lambda x: x\n')],
        "copies",
    ),
    "graph_in_the_state": (
        SGD,
        [
            (_NO_GRAD, ""),
            (
                _INIT
                + '                state["buffer"].mul_(group["momentum"]).add_(d)\n',
                '                state["buffer"] = 0.9 * state.get("buffer", 0.0) + d\n'
                '                state["norm"] = state["buffer"].sum() * p.sum()\n',
            ),
            (
                _MOVE,
                '                p.data.add_(state["buffer"], alpha=-group["lr"])\n',
            ),
        ],
        "copies",
    ),
    # gradients
    "gradient_decayed_in_place": (
        SGD,
        [("d = d.add(p,", "d = d.add_(p,")],
        "gradients",
    ),
    "gradient_scaled_in_place": (
        ADAM,
        [("grad = p.grad\n", "grad = p.grad.clamp_(-1, 1)\n")],
        "gradients",
    ),
    "buffer_is_the_gradient": (
        SGD,
        [
            (
                _INIT
                + '                state["buffer"].mul_(group["momentum"]).add_(d)\n',
                '                if "buffer" not in state:\n'
                '                    state["buffer"] = d\n'
                "                else:\n"
                '                    state["buffer"].mul_(group["momentum"]).add_(d)\n',
            )
        ],
        "borrowed",
    ),
    "last_gradient_not_copied": (
        ADAM,
        [
            (
                _STEP,
                _STEP
                + '                if "last" in state:\n'
                + '                    grad = grad + 0.1 * (grad - state["last"])\n'
                + '                state["last"] = p.grad\n',
            )
        ],
        "borrowed",
    ),
    "gradients_cleared_by_step": (
        SGD,
        [(_RETURN, "        self.zero_grad()\n" + _RETURN)],
        "gradients",
    ),
    "gradient_replaced": (
        SGD,
        [(_MOVE, _MOVE + "                p.grad = p.grad.clone()\n")],
        "gradients",
    ),
    # groups and options
    "first_group_only": (
        ADAM,
        [(_LOOP, "        for group in self.param_groups[:1]:\n")],
        "options",
    ),
    "first_groups_rate_for_all": (
        ADAM,
        [('value=-group["lr"]', 'value=-self.param_groups[0]["lr"]')],
        "options",
    ),
    "last_groups_rate_for_all": (
        SGD,
        [('alpha=-group["lr"]', 'alpha=-self.param_groups[-1]["lr"]')],
        "options",
    ),
    "rate_from_defaults": (
        ADAM,
        [('value=-group["lr"]', 'value=-self.defaults["lr"]')],
        "options",
    ),
    "betas_from_defaults": (
        ADAM,
        [('= group["betas"]', '= self.defaults["betas"]')],
        "options",
    ),
    "decay_from_defaults": (
        ADAM,
        [
            (
                'group["lr"] * group["weight_decay"]',
                'group["lr"] * self.defaults["weight_decay"]',
            )
        ],
        "options",
    ),
    "eps_from_defaults": (
        ADAM,
        [('add_(group["eps"])', 'add_(self.defaults["eps"])')],
        "options",
    ),
    "rate_kept_at_construction": (
        SGD,
        [
            (_SGD_SUPER, _SGD_SUPER + "        self.lr = lr\n"),
            ('alpha=-group["lr"]', "alpha=-self.lr"),
        ],
        "options",
    ),
    "rates_kept_at_construction": (
        ADAM,
        [
            (
                _SUPER,
                _SUPER + '        self.rates = [g["lr"] for g in self.param_groups]\n',
            ),
            (_LOOP, "        for group, lr in zip(self.param_groups, self.rates):\n"),
            ('value=-group["lr"]', "value=-lr"),
        ],
        "options",
    ),
    "rate_kept_at_the_first_step": (
        ADAM,
        [
            (
                '                    state["step"] = 0\n',
                '                    state["step"] = 0\n'
                '                    state["lr"] = group["lr"]\n',
            ),
            ('value=-group["lr"]', 'value=-state["lr"]'),
        ],
        "options",
    ),
    "momentum_kept_at_construction": (
        SGD,
        [
            (_SGD_SUPER, _SGD_SUPER + "        self.momentum = momentum\n"),
            ('mul_(group["momentum"])', "mul_(self.momentum)"),
        ],
        "options",
    ),
    "second_beta_kept_at_construction": (
        ADAM,
        [
            (_SUPER, _SUPER + "        self.beta2 = betas[1]\n"),
            (
                'beta1, beta2 = group["betas"]',
                'beta1, beta2 = group["betas"][0], self.beta2',
            ),
        ],
        "options",
    ),
    "decay_ignored": (ADAM, [(_DECAY, "")], "options"),
    "rate_written_into_the_group": (
        SGD,
        [(_RETURN, '        self.param_groups[0]["lr"] *= 0.99\n' + _RETURN)],
        "keeps_groups",
    ),
    "groups_rebuilt": (
        SGD,
        [
            (
                _RETURN,
                "        self.param_groups = [dict(g) for g in self.param_groups]\n"
                + _RETURN,
            )
        ],
        "keeps_groups",
    ),
    "parameters_listed_at_construction": (
        SGD,
        [
            (
                _SGD_SUPER,
                _SGD_SUPER
                + '        self.pairs = [(g, p) for g in self.param_groups for p in g["params"]]\n',
            ),
            (
                _LOOP + '            for p in group["params"]:\n',
                "        if True:\n            for group, p in self.pairs:\n",
            ),
        ],
        "add_group",
    ),
    "one_count_for_late_groups": (
        ADAM,
        [
            (
                _LOOP,
                '        first = self.param_groups[0]\n        first["t"] = '
                'first.get("t", 0) + 1\n' + _LOOP,
            ),
            (_STEP, '                t = first["t"]\n'),
            ('                    state["step"] = 0\n', ""),
        ],
        "add_group",
    ),
    "add_group_forgotten": (
        SGD,
        [
            (
                _NO_GRAD,
                "    def add_param_group(self, group):\n"
                "        if not self.param_groups or len(self.state) == 0:\n"
                "            super().add_param_group(group)\n\n" + _NO_GRAD,
            )
        ],
        "add_group",
    ),
    # parameters among each other
    "count_raised_for_each_parameter": (
        ADAM,
        [
            (_STEP, '                group["t"] = t = group.get("t", 0) + 1\n'),
            ('                    state["step"] = 0\n', ""),
        ],
        "order",
    ),
    "count_kept_with_the_first_parameter": (
        ADAM,
        [
            (
                _STEP,
                '                one = self.state[group["params"][0]]\n'
                '                one["t"] = t = one.get("t", 0) + 1\n',
            ),
            ("len(state) == 0", '"m" not in state'),
            ('                    state["step"] = 0\n', ""),
        ],
        "order",
    ),
    "buffer_by_shape": (
        SGD,
        [(_STATE, "                state = self.state[str(tuple(p.shape))]\n")],
        "order",
    ),
    "state_by_position_of_those_present": (
        SGD,
        [
            (_LOOP, "        at = 0\n" + _LOOP),
            (
                _STATE,
                "                state = self.state[str(at)]\n                at += 1\n",
            ),
        ],
        "order",
    ),
    "one_buffer_for_all": (
        SGD,
        [
            (
                _INIT
                + '                state["buffer"].mul_(group["momentum"]).add_(d)\n',
                '                state["buffer"] = d + 0.1 * group.get("mean", 0.0)\n'
                '                group["mean"] = float(d.mean()) if d.numel() else 0.0\n',
            )
        ],
        "order",
    ),
    "later_parameters_slower": (
        SGD,
        [
            (_LOOP, "        scale = 1.0\n" + _LOOP),
            (
                _MOVE,
                '                p.add_(state["buffer"], alpha=-scale * group["lr"])\n'
                "                scale *= 0.9\n",
            ),
        ],
        "order",
    ),
    # missing gradients
    "dies_without_gradient": (SGD, [(_NONE, "")], "missing"),
    "missing_gradient_is_zero": (
        SGD,
        [
            (_NONE, ""),
            (
                "d = p.grad\n",
                "d = torch.zeros_like(p) if p.grad is None else p.grad\n",
            ),
        ],
        "missing",
    ),
    "stops_at_a_missing_gradient": (
        SGD,
        [(_NONE, _NONE.replace("continue", "break"))],
        "missing",
    ),
    "returns_at_a_missing_gradient": (
        ADAM,
        [(_NONE, _NONE.replace("continue", "return loss"))],
        "missing",
    ),
    "decays_without_gradient": (
        ADAM,
        [
            (_DECAY, ""),
            (_NONE, _DECAY + _NONE),
        ],
        "missing",
    ),
    "state_made_in_the_first_step_only": (
        SGD,
        [
            (
                _LOOP,
                "        if not self.state:\n"
                '            for p in [p for g in self.param_groups for p in g["params"]]:\n'
                "                if p.grad is not None:\n"
                '                    self.state[p]["buffer"] = torch.zeros_like(p)\n'
                + _LOOP,
            ),
            (_INIT, ""),
        ],
        "missing",
    ),
    "dies_when_no_gradient_at_all": (
        SGD,
        [
            (
                _LOOP,
                '        every = [p.grad for g in self.param_groups for p in g["params"]'
                " if p.grad is not None]\n"
                "        torch.cat([g.flatten() for g in every])\n" + _LOOP,
            )
        ],
        "missing",
    ),
    # shapes, dtypes, layouts
    "dies_on_scalars": (
        SGD,
        [("d = p.grad\n", "d = p.grad\n                d.size(0)\n")],
        "accepts",
    ),
    "dies_on_empty": (
        SGD,
        [("d = p.grad\n", "d = p.grad\n                d.abs().max()\n")],
        "accepts",
    ),
    "mean_of_empty": (
        ADAM,
        [
            (
                "t = state",
                "scale = float(grad.abs().mean())\n                assert scale >= 0\n                t = state",
            )
        ],
        "accepts",
    ),
    "dies_on_an_empty_group": (
        SGD,
        [(_LOOP, _LOOP + '            group["params"][0]\n')],
        "accepts",
    ),
    "vectors_skipped": (
        SGD,
        [("if p.grad is None:", "if p.grad is None or p.ndim == 1:")],
        "accepts",
    ),
    "scalars_skipped": (
        ADAM,
        [("if p.grad is None:", "if p.grad is None or not p.shape:")],
        "accepts",
    ),
    "float32_only": (
        SGD,
        [
            (
                '.mul_(group["momentum"]).add_(d)',
                ".copy_(torch.lerp(torch.zeros(p.shape), d, 1.0) + "
                'group["momentum"] * state["buffer"])',
            )
        ],
        "accepts",
    ),
    "view_of_the_gradient": (
        SGD,
        [
            (
                _MOVE,
                '                p.view(-1).add_(state["buffer"].view(-1), alpha=-group["lr"])\n',
            )
        ],
        "accepts",
    ),
    "gradient_viewed_flat": (
        SGD,
        [("d = p.grad\n", "d = p.grad.view(-1).view(p.shape)\n")],
        "accepts",
    ),
    "gradient_read_as_it_lies": (
        SGD,
        [("d = p.grad\n", "d = p.grad.as_strided(p.shape, p.contiguous().stride())\n")],
        "layout",
    ),
    "written_to_a_reshaped_copy": (
        SGD,
        [
            (
                _MOVE,
                '                p.reshape(-1).add_(state["buffer"].reshape(-1), '
                'alpha=-group["lr"])\n',
            )
        ],
        "layout",
    ),
    "parameters_read_twice": (
        SGD,
        [
            (
                _SGD_SUPER,
                "        self.count = sum(1 for _ in params)\n" + _SGD_SUPER,
            )
        ],
        "accepts",
    ),
    "no_grad_forgotten": (SGD, [(_NO_GRAD, "")], "accepts"),
    # values
    "eps_forgotten": (
        ADAM,
        [('v.sqrt().add_(group["eps"])', "v.sqrt()")],
        "finite",
    ),
    "zero_over_zero": (
        SGD,
        [("d = p.grad\n", "d = p.grad / p.grad.norm()\n")],
        "finite",
    ),
    "ratio_of_zero_weights": (
        SGD,
        [("d = p.grad\n", "d = p.grad * (p.grad.norm() + 1) / p.norm()\n")],
        "finite",
    ),
    "overflow": (
        SGD,
        [
            (
                "d = p.grad\n",
                "d = p.grad * (p.grad**4).mean() / (1 + (p.grad**4).mean())\n",
            )
        ],
        "finite",
    ),
    "sign_turned": (SGD, [('alpha=-group["lr"]', 'alpha=group["lr"]')], "downhill"),
    "decay_twice": (ADAM, [(_DECAY, _DECAY + _DECAY)], "decay"),
    "decay_twice_through_the_gradient": (
        SGD,
        [('alpha=group["weight_decay"]', 'alpha=2 * group["weight_decay"]')],
        "decay",
    ),
    "decay_twice_through_adams_gradient": (
        ADAM,
        [
            (_DECAY, ""),
            ("grad = p.grad\n", 'grad = p.grad + 2 * group["weight_decay"] * p\n'),
        ],
        "decay",
    ),
    "decay_through_the_gradient_and_beside_it": (
        ADAM,
        [("grad = p.grad\n", 'grad = p.grad + group["weight_decay"] * p\n')],
        "decay",
    ),
    "decay_beside_sgd_and_through_it": (
        SGD,
        [(_MOVE, _MOVE + _DECAY)],
        "decay",
    ),
    # frozen weights
    "decay_without_the_rate": (
        ADAM,
        [('1 - group["lr"] * group["weight_decay"]', '1 - group["weight_decay"]')],
        "frozen",
    ),
    "rate_folded_into_the_momentum": (
        SGD,
        [
            (".add_(d)\n", '.add_(d, alpha=group["lr"])\n'),
            (_MOVE, '                p.sub_(state["buffer"])\n'),
        ],
        "frozen",
    ),
    "weights_clamped": (
        SGD,
        [(_MOVE, _MOVE + "                p.clamp_(-1.5, 1.5)\n")],
        "frozen",
    ),
    "least_rate": (
        SGD,
        [('alpha=-group["lr"]', 'alpha=-max(group["lr"], 1e-4)')],
        "frozen",
    ),
    # parameters and what is round them
    "new_memory": (
        SGD,
        [(_MOVE, '                p.data = p.data - group["lr"] * state["buffer"]\n')],
        "in_place",
    ),
    "parameter_replaced": (
        SGD,
        [
            (
                _MOVE,
                _MOVE
                + '                group["params"] = [q if q is not p else '
                + 'torch.nn.Parameter(p.clone()) for q in group["params"]]\n',
            )
        ],
        "in_place",
    ),
    "dtype_changed": (
        SGD,
        [
            (
                _MOVE,
                '                p.data = p.data.float() - group["lr"] * state["buffer"]\n',
            )
        ],
        "in_place",
    ),
    "gradients_switched_off_for_the_parameter": (
        SGD,
        [(_MOVE, _MOVE + "                p.requires_grad_(False)\n")],
        "in_place",
    ),
    "writes_beside_the_view": (
        SGD,
        [
            (
                _MOVE,
                _MOVE
                + "                if p._base is not None or p.storage_offset():\n"
                + "                    whole = torch.empty(0, dtype=p.dtype)\n"
                + "                    whole.set_(p.untyped_storage())\n"
                + '                    whole.mul_(1 - 0.1 * group["lr"])\n',
            )
        ],
        "foreign",
    ),
    # closures
    "closure_dropped": (SGD, [(_CALL, "            pass\n")], "closure"),
    "closure_without_gradients": (
        SGD,
        [(_CALL, "            loss = closure()\n")],
        "closure",
    ),
    "loss_not_returned": (SGD, [(_RETURN, "")], "closure"),
    "closure_called_twice": (
        ADAM,
        [
            (
                "                loss = closure()\n",
                "                loss = closure()\n                loss = closure()\n",
            )
        ],
        "closure",
    ),
    "closure_called_too_late": (
        SGD,
        [
            (_CALL, "            pass\n"),
            (
                _RETURN,
                "        if closure is not None:\n"
                "            with torch.enable_grad():\n"
                "                loss = closure()\n" + _RETURN,
            ),
        ],
        "closure",
    ),
    "another_loss_returned": (
        SGD,
        [("loss = closure()", "loss = closure() * 2")],
        "closure",
    ),
    "closure_needed": (
        SGD,
        [
            (
                "        if closure is not None:\n" + _CALL,
                "        with torch.enable_grad():\n            loss = closure()\n",
            )
        ],
        "bare_step",
    ),
    "loss_unbound": (ADAM, [("        loss = None\n", "")], "bare_step"),
    # surroundings
    "global_numbers_drawn": (
        SGD,
        [
            (
                _MOVE,
                _MOVE
                + '                p.add_(torch.randn_like(p), alpha=-1e-3 * group["lr"])\n',
            )
        ],
        "rng",
    ),
    "global_numbers_drawn_in_vain": (
        SGD,
        [(_LOOP, "        torch.rand(1)\n" + _LOOP)],
        "rng",
    ),
    "pythons_numbers_drawn": (
        SGD,
        [
            (_FIRST, "import random\n\nimport torch\n"),
            ('alpha=-group["lr"]', 'alpha=-group["lr"] * random.uniform(0.9, 1.1)'),
        ],
        "rng",
    ),
    "seeded": (
        SGD,
        [(_LOOP, "        torch.manual_seed(0)\n" + _LOOP)],
        "rng",
    ),
    "gradients_switched_off": (
        SGD,
        [
            (_NO_GRAD, ""),
            (_LOOP, "        torch.set_grad_enabled(False)\n" + _LOOP),
        ],
        "surroundings",
    ),
    "default_dtype_changed": (
        SGD,
        [(_LOOP, "        torch.set_default_dtype(torch.float64)\n" + _LOOP)],
        "surroundings",
    ),
    "threads_changed": (
        SGD,
        [(_SGD_SUPER, _SGD_SUPER + "        torch.set_num_threads(3)\n")],
        "surroundings",
    ),
    "class_wide_count": (
        ADAM,
        [
            ("    def __init__", "    count = {}\n\n    def __init__"),
            (
                _LOOP,
                '        self.count["t"] = self.count.get("t", 0) + 1\n' + _LOOP,
            ),
            (_STEP, '                t = self.count["t"]\n'),
            ('                    state["step"] = 0\n', ""),
        ],
        "deterministic",
    ),
    "buffers_in_a_default_argument": (
        SGD,
        [
            ("weight_decay=0.0):", "weight_decay=0.0, held={}):"),
            (_SGD_SUPER, _SGD_SUPER + "        self.held = held\n"),
            (
                _STATE,
                "                state = self.held.setdefault(tuple(p.shape), {})\n",
            ),
        ],
        "deterministic",
    ),
    "memory_never_written": (
        SGD,
        [(_MADE, '                    state["buffer"] = torch.empty_like(p)\n')],
        "deterministic",
    ),
    # long runs, live rates, schedules
    "history_on_self": (
        SGD,
        [
            (_SGD_SUPER, _SGD_SUPER + "        self.norms = []\n"),
            (_LOOP, "        self.norms.append(0.5)\n" + _LOOP),
        ],
        "no_leak",
    ),
    "gradients_all_kept": (
        SGD,
        [
            (
                _MOVE,
                _MOVE
                + '                state.setdefault("past", []).append(d.clone())\n',
            )
        ],
        "no_leak",
    ),
    "graphs_all_kept": (
        SGD,
        [
            (
                _MOVE,
                _MOVE + "                with torch.enable_grad():\n"
                '                    self.total = getattr(self, "total", 0) + p.sum()\n',
            )
        ],
        "no_leak",
    ),
    "history_on_the_class": (
        SGD,
        [
            ("    def __init__", "    seen = []\n\n    def __init__"),
            (_LOOP, "        self.seen.append(1)\n" + _LOOP),
        ],
        "no_leak",
    ),
    "rate_scaled_in_place": (
        ADAM,
        [
            (
                "                p.addcdiv_(m,",
                '                lr = group["lr"]\n                lr *= 0.5\n'
                "                p.addcdiv_(m,",
            ),
            ('value=-group["lr"]', "value=-2 * lr"),
        ],
        "tensor_lr",
    ),
    "rate_read_once_while_it_is_the_same": (
        SGD,
        [
            (
                _MOVE,
                '                if self.__dict__.get("seen") is not group["lr"]:\n'
                '                    self.seen = group["lr"]\n'
                '                    self.rate = float(group["lr"])\n'
                '                p.add_(state["buffer"], alpha=-self.rate)\n',
            )
        ],
        "tensor_lr",
    ),
    "keys_of_others_lost_in_loading": (
        SGD,
        [
            (
                _NO_GRAD,
                "    def load_state_dict(self, held):\n"
                "        super().load_state_dict(held)\n"
                "        for group in self.param_groups:\n"
                '            for key in set(group) - {"params", *self.defaults}:\n'
                "                del group[key]\n\n" + _NO_GRAD,
            )
        ],
        "scheduler",
    ),
    "first_rate_set_again_in_loading": (
        SGD,
        [
            (
                _NO_GRAD,
                "    def load_state_dict(self, held):\n"
                "        super().load_state_dict(held)\n"
                "        for group in self.param_groups:\n"
                '            group["lr"] = group.get("initial_lr", group["lr"])\n\n'
                + _NO_GRAD,
            )
        ],
        "scheduler",
    ),
    # compiled and captured
    "norm_read_as_a_number": (
        SGD,
        [
            (_MOVE, '                p.sub_(group["lr"] * state["buffer"])\n'),
            ("d = p.grad\n", "d = p.grad / max(1.0, float(p.grad.norm()))\n"),
        ],
        "capturable",
    ),
    "choice_by_a_value": (
        SGD,
        [
            (_MOVE, '                p.sub_(group["lr"] * state["buffer"])\n'),
            (
                "d = p.grad\n",
                "d = p.grad\n                if p.grad.sum() > 1e9:\n"
                "                    d = d / 2\n",
            ),
        ],
        "capturable",
    ),
    "shape_that_depends_on_data": (
        SGD,
        [
            (_MOVE, '                p.sub_(group["lr"] * state["buffer"])\n'),
            (
                "d = p.grad\n",
                "d = p.grad.clone()\n                d[d > 1e9] = d[d > 1e9] / 2\n",
            ),
        ],
        "capturable",
    ),
    "rate_as_a_plain_number": (SGD, [], "capturable"),
    "count_left_out_when_compiled": (
        ADAM,
        [
            (
                _STEP,
                "                if not torch.compiler.is_compiling() or t == 0:\n"
                '                    state["step"] += 1\n'
                '                t = state["step"]\n',
            ),
            (
                '                    state["step"] = 0\n',
                '                    state["step"] = 1\n',
            ),
            (
                "                state = self.state[p]\n",
                "                state, t = self.state[p], 1\n",
            ),
        ],
        "compiled",
    ),
    "zero_grad_resets_the_state": (
        SGD,
        [
            (
                _NO_GRAD,
                "    def zero_grad(self, set_to_none=True):\n"
                "        super().zero_grad(set_to_none)\n"
                "        self.state.clear()\n\n" + _NO_GRAD,
            )
        ],
        "zero_grad",
    ),
    "zero_grad_forgets_groups": (
        SGD,
        [
            (
                _NO_GRAD,
                "    def zero_grad(self, set_to_none=True):\n"
                '        for p in self.param_groups[0]["params"]:\n'
                "            p.grad = None\n\n" + _NO_GRAD,
            )
        ],
        "zero_grad",
    ),
}


def source_of(name):
    """The text of a mutant: the sound rule with its one bug."""
    text, replaced, _ = MUTANTS[name]
    for old, new in replaced:
        assert old in text, (name, old)
        text = text.replace(old, new)
    return text


def rule_of(source):
    """The class of a source."""
    # A module of its own: torch.compile looks for it.
    module = sys.modules["mutant"] = ModuleType("mutant")
    exec(compile(source, "<mutant>", "exec"), vars(module))
    return module.Rule
