"""Rules made of what real ones are made of, by chance: see `test_made_rules`."""

import random

_HEAD = """
import math
from collections import defaultdict, deque

import torch


class Stats:
    def __init__(self, n=0):
        self.n = n
        self.seen = []

    def count(self, x):
        self.n += 1
        self.seen = [*self.seen[-2:], x]
        return sum(self.seen) / len(self.seen)


def squash(x, most=3.0):
    return max(-most, min(most, x))


class Made(torch.optim.Optimizer):
    every = 3

    def __init__(self, params, lr=0.01, betas=(0.9, 0.99), mode="plain", flag=False,
                 power=2, wd=0.0):
        defaults = dict(lr=lr, betas=betas, mode=mode, flag=flag, power=power, wd=wd)
        super().__init__(params, defaults)
        self.t, self.k, self.x, self.y = 0, 2, 0.5, None
        self.best, self.bad, self.on = float("inf"), 0, True
        self.recent = deque(maxlen=3)
        self.table, self.phase, self.pair = {}, "a", (1, 2.0)
        self.per = defaultdict(int)
        self.stats = Stats()
        self.tags = {0}

    def scale(self, v, by=2):
        return squash(v / by if by else v)

    @torch.no_grad()
    def step(self, closure=None):
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        self.t += 1
        t, f, total = self.t, 1.0, 0.0
BEFORE
        for i, group in enumerate(self.param_groups):
            lr, (b1, b2) = group["lr"], group["betas"]
            for p in group["params"]:
                if p.grad is None:
                    continue
                g, s = p.grad, self.state[p]
                if len(s) == 0:
                    s["n"], s["m"] = 0, torch.zeros_like(p)
                s["n"] += 1
                n, m, u = s["n"], s["m"], g
BODY
                p.add_(u.clamp(-5, 5), alpha=-lr * squash(f))
        return loss
"""


class Making:
    """Writes one rule; equal seeds write equal rules."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._in_loop = False
        self._named = 0

    def source(self) -> str:
        """The text of the rule."""
        before = self._block(self._random.randint(1, 5), 8)
        self._in_loop = True
        body = self._block(self._random.randint(2, 7), 16)
        return _HEAD.replace("BEFORE\n", before).replace("BODY\n", body)

    def _of(self, *choices):
        return self._random.choice(choices)

    def _some(self, count):
        return self._random.randrange(count)

    def _block(self, statements, indent):
        lines = [
            line for _ in range(statements) for line in self._statement(2).split("\n")
        ]
        return "".join(f"{' ' * indent}{line}\n" for line in lines)

    # Numbers

    def _number(self, depth):
        """An expression that is a number, of any size."""
        leaves = ["t", "self.k", "self.x", "self.best", "self.bad", "total", "f"]
        leaves += ["len(self.recent)", "self.pair[0]", "self.pair[1]", "self.every"]
        leaves += ["self.stats.n", "self.per['a']", "-2", "0.1", "7", "1e-8", "0"]
        if self._in_loop:
            leaves += ["lr", "n", "b1", "group['power']", "i", "p.ndim", "p.numel()"]
            leaves += ["group['wd']", "s['n']"] * 2
        if depth <= 0 or self._some(3) == 0:
            return self._of(*leaves)
        one, other = self._number(depth - 1), self._number(depth - 1)
        forms = [
            *(f"({one} {sign} {other})" for sign in "+-*"),
            f"({one} / (abs({other}) + 1))",
            f"({one} // {self._of('3', '2.5', '-4')})",
            f"({one} % {self._of('3', '2.5', '-4')})",
            *(f"{name}({one}, {other})" for name in ("min", "max")),
            f"max(0, {one})",
            f"min(1, {one})",
            f"squash({one}) ** {self._of('2', '3', '0', '0.0')}",
            f"{self._of('2', '0.9', '10')} ** -squash({one})",
            f"math.sqrt(abs({one}))",
            f"math.{self._of('floor', 'ceil', 'tanh', 'cos')}(squash({one}))",
            f"math.log1p(abs({one}))",
            f"int(squash({one}))",
            f"float(squash({one}))",
            f"round(squash({one}){self._of('', ', 1')})",
            f"abs({one})",
            f"({one} if {self._truth(depth - 1)} else {other})",
            f"sum([{one}, {other}, 0.5])",
            f"sorted([{one}, {other}, 1])[{self._of('0', '-1', '1')}]",
            f"max([{one}, {other}], key=lambda v: -abs(v))",
            f"self.scale({one}{self._of('', ', by=3', ', 0')})",
            f"sum(self.recent, {one})",
            f"sum(v for v in self.recent if v > {one})",
            f"(lambda a, b=1: a * b)({one})",
            f"divmod(t, 4)[{self._some(2)}]",
            f"int({self._truth(depth - 1)})",
        ]
        if self._in_loop:
            ten = self._tensor(depth - 1)
            forms += [
                f"float({ten}.{self._of('sum', 'mean', 'norm')}())",
                f"{ten}.abs().max().item()"
                if self._some(2)
                else f"float({ten}.norm())",
            ]
        return self._of(*forms)

    def _truth(self, depth):
        one, other = self._number(depth - 1), self._number(depth - 1)
        forms = [
            f"{one} {self._of('>', '<', '>=', '<=', '==', '!=')} {other}",
            f"t % {self._of(2, 3, 5)} == {self._some(2)}",
            f"t > {self._of(3, 7, 11)}",
            f"3 < t <= {self._of(8, 12)}",
            f"t in (5, 9, {self._some(20)})",
            *("self.on", "not self.on", "self.phase == 'a'", "self.y is None"),
            f"any(v > {one} for v in self.recent)",
            f"all(v != {one} for v in (t, 3))",
            f"isinstance({one}, int)",
            f"math.isfinite({one})",
            "t % 3 in self.tags",
        ]
        if self._in_loop:
            forms += [
                "group['flag']",
                "group['mode'] == 'plain'",
                "p.ndim > 1",
                "i == 0",
            ]
            forms += ["'v' in s", "p.numel() > 4", "p is group['params'][0]"]
        return self._of(*forms)

    # Tensors, of the parameter's shape

    def _tensor(self, depth):
        leaves = ["g", "m", "u", "p"]
        if depth <= 0 or self._some(4) == 0:
            return self._of(*leaves)
        one, other = self._tensor(depth - 1), self._tensor(depth - 1)
        number = f"squash({self._number(depth - 1)})"
        return self._of(
            *(f"({one} {sign} {other})" for sign in "+-*"),
            *(f"({one} {sign} {number})" for sign in "+-*"),
            f"({one} / ({other}.abs() + 1))",
            f"({number} - {one})",
            f"({one} / (abs({number}) + 0.5))",
            f"{one}.clamp(-abs({number}), abs({number}))",
            f"{one}.clamp(min={number})",
            f"torch.where({one} > {other}, {one}, {self._of(other, number, '0', '1')})",
            f"torch.where({one} > {number}, {number}, {self._of('0.5', '-1')})",
            f"{one}.sign()",
            f"{one}.abs().sqrt()",
            f"{one}.clamp(-3, 3).pow({self._of('2', '3', number + ' // 1')})",
            f"{one}.abs().add(0.1).pow({number})",
            f"{one}.lerp({other}, {self._of('0.3', number, 't / 20', '1 / t')})",
            f"torch.lerp({one}, {other}, {other}.sigmoid())",
            f"torch.addcmul({one}, {one}, {other}, value={number})",
            f"torch.addcdiv({one}, {one}, {other}.abs() + 1, value={number})",
            f"torch.add({one}, {other}, alpha={number})",
            f"({one} - {one}.mean())",
            f"({one} / ({one}.norm() + 1))",
            f"{one} * torch.tensor({number})",
            f"{one} * torch.tensor(t)",
            f"({one} > {other}).to({one}.dtype)",
            f"{one}.double().mul({number}).to(p.dtype)",
            f"{one}.view(-1).flip(0).view_as({one})",
            f"{one}.masked_fill({other} > {number}, {self._of('0', number)})",
            f"torch.maximum({one}, {other})",
            f"torch.full_like({one}, {number})",
            f"({one} == {other}) * {one}",
            f"torch.nan_to_num({one})",
            f"{one}.clone().mul_({number}).add_({other})",
            f"{one}.flatten().cumsum(0).view_as({one}) * 0.1",
            f"(-{one}).exp().clamp(max=3)",
            f"{one}.tanh()",
        )

    # Statements

    def _statement(self, depth):
        if depth and self._some(4) == 0:
            return self._compound(depth)
        return self._of(*(self._in_a_loop() if self._in_loop else self._before()))

    def _before(self):
        number, other = self._number(2), self._number(2)
        key = self._of("'a'", "t % 3", "f'k{t % 2}'")
        return [
            f"self.x = squash({number})",
            f"self.k = int(squash({number}))",
            f"self.k += {self._of('1', '-1', 't % 3')}",
            f"f = squash({number})",
            f"f *= squash({number}, most={other})",
            f"self.recent.append(squash({number}))",
            "self.recent.clear()",
            f"self.table[{key}] = squash({number})",
            f"f = self.table.get({key}, 0.5)",
            f"self.table.pop({key}, None)",
            f"self.per[{key}] += 1",
            f"self.x, self.k = squash({number}), int(self.x)",
            f"self.pair = (self.pair[1], squash({number}))",
            f"self.on = {self._truth(2)}",
            f"self.phase = 'a' if {self._truth(2)} else 'b'",
            f"self.y = None if {self._truth(2)} else squash({number})",
            f"self.best = min(self.best, {number})",
            f"f = self.stats.count(squash({number}))",
            f"self.tags.add({self._of('1', '2')})",
            "self.tags.discard(0)",
            "if loss is not None and loss < self.best:\n    self.best = float(loss)\n"
            "    self.bad = 0\nelse:\n    self.bad += 1",
            "if self.bad > 4:\n    self.x *= 0.5\n    self.bad = 0",
            "for group in self.param_groups:\n    group['lr'] *= 0.9",
            f"for group in self.param_groups[:1]:\n"
            f"    group['wd'] = squash({number}) * 0.01",
            "total = math.sqrt(sum(float(p.grad.pow(2).sum()) for gr in "
            "self.param_groups for p in gr['params'] if p.grad is not None))\n"
            "f = min(1.0, 1.0 / (total + 1e-6))",
            "ps = [p for gr in self.param_groups for p in gr['params'] if p.grad "
            "is not None]\nif ps:\n    torch._foreach_mul_([p.grad for p in ps], "
            f"squash({number}))",
            f"c = 0\nwhile c < {self._of('3', 'self.k', 'abs(self.k)')}:\n    c += 1\n"
            f"    f += squash({number}) / 10",
            "for v in range(t % 3):\n    f += v * 0.1",
        ]

    def _in_a_loop(self):
        one, other, number = self._tensor(2), self._tensor(2), self._number(2)
        key = self._of("'v'", "'v'", "'w'", "f'v{t % 2}'")
        self._named += 1
        name = f"q{self._named}"
        return [
            f"m.mul_({self._of('b1', '0.9')}).add_({one})",
            f"m.lerp_({one}, {self._of('1 - b1', 'n / 30', '1 / n')})",
            f"u = {one}",
            f"u = {one}",
            f"u = u + {one} * squash({number})",
            f"s[{key}] = {one}.clone()",
            f"s.setdefault({key}, torch.zeros_like(p)).add_({one})",
            f"u = s.get({key}, u)",
            f"s.pop({key}, None)",
            f"s['n'] = max(s['n'] {self._of('- 1', '+ 1')}, 0)",
            f"s['x'] = squash({number})",
            f"f = s.get('x', 0.5) * {self._of('1', '2')}",
            f"s['step'] = s.get('step', torch.tensor({self._of('0', '0.0')})) + 1\n"
            f"u = u / s['step']",
            f"c = s.setdefault('count', torch.tensor({self._of('0', '0.0')}))\n"
            f"c += 1\nf = 1 - 0.9 ** c.item()",
            f"s.setdefault('h', []).append(squash({number}))\n"
            "s['h'] = s['h'][-3:]\nf = sum(s['h']) / len(s['h'])",
            "if 'a' not in s:\n    s['a'], s['b'] = torch.zeros_like(p), g.clone()\n"
            f"s['a'].add_({one})\ns['a'], s['b'] = s['b'], s['a']\nu = u + s['b']",
            f"{name} = m\n{name}.add_({one})",
            f"{name} = {one}.clone()\n{name}.mul_(0.5)\nu = {name}",
            f"if p.ndim == 2:\n    m[0].add_({one}[0])\n    m[:, -1] = {other}[:, -1]",
            f"m.view(-1)[0] += squash({number})"
            if self._some(2)
            else "if p.ndim == 2:\n    m.t()[0].mul_(0.5)",
            "torch.mul(m, 0.5, out=m)",
            f"p.mul_(1 - lr * squash(group['wd'] + {number}) * 0.1)",
            f"p.grad.mul_(squash({number}))",
            f"m[{one} > {other}] = {self._of('0', '0.5', 'squash(' + number + ')')}",
            "if not torch.isfinite(u).all():\n    s['bad'] = s.get('bad', 0) + 1\n"
            "    continue",
            f"if {one}.norm() > 1:\n    u = u / (u.norm() + 1e-3)",
            "f = min(1.0, 2.0 / (float(u.norm()) + 1e-6))",
            "self.per[p.ndim] += 1",
            f"total += float({one}.sum())",
            "self.x = squash(total)",
            f"i += {self._of('0', '1')}",
            "p.copy_(p.lerp(s.get('v', p), 0.1))",
            f"{name} = p.detach().clone()\np.sub_({one}, alpha=lr)\n"
            f"u = u + (p - {name})",
        ]

    def _compound(self, depth):
        def inside():
            many = range(1 + self._some(2))
            lines = "\n".join(self._statement(depth - 1) for _ in many)
            return "".join(f"\n    {line}" for line in lines.split("\n"))

        number = self._number(1)
        return self._of(
            f"if {self._truth(2)}:{inside()}",
            f"if {self._truth(2)}:{inside()}\nelse:{inside()}",
            f"if {self._truth(2)}:{inside()}\nelif {self._truth(1)}:{inside()}",
            f"try:\n    f = 1.0 / {number}{inside()}\n"
            f"except {self._of('ZeroDivisionError', 'ArithmeticError')}:\n    f = 0.5",
            f"try:\n    f = math.sqrt({number})\nexcept (ValueError, OverflowError):"
            f"{inside()}\nfinally:\n    f = f + 0.5",
            f"for z in ({self._number(1)}, {self._number(1)}):\n"
            f"    f += squash(z) * 0.1{inside()}",
            f"for z, w in zip([1, 2], [{self._number(1)}, 0.5]):{inside()}",
        )
