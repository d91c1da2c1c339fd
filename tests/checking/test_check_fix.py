"""`dux check --fix`: rewrites that are accepted, and take the same steps."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from dux_agent.cli import app

RULE = """
{before}

class Mine(torch.optim.Optimizer):
    def __init__(self, params, {lr}, amsgrad=False):
        {init}
        super().__init__(params, dict(lr=lr, amsgrad=amsgrad))

    {method}

    @torch.no_grad()
    def step(self, closure{hint}=None):
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    s = self.state.setdefault(p, {{}})
                    if "m" not in s:
                        s["m"] = torch.zeros_like(p)
                    {body}
                    p.add_(p.grad, alpha=-group["lr"])

{after}
"""
PARTS = {
    "before": "",
    "lr": "lr=0.01",
    "init": "pass",
    "method": "pass",
    "hint": "",
    "body": "pass",
    "after": "",
}


def source(imports="", **parts):
    text = RULE.format(**{**PARTS, **parts})
    return f'"""A rule."""\nimport torch\n{imports}\n{text}'


# Source; what is no longer in it; what is said of it.
KINDS = {
    "compiled": (
        source(method="@torch.compile\n    def f(self, x):\n        return x"),
        "torch.compile",
        "the decorator torch.compile is taken off f",
    ),
    "scripted": (
        source(
            before="@torch.jit.script\ndef f(x: torch.Tensor):\n    return x",
            body="f(p)",
        ),
        "torch.jit",
        "the decorator torch.jit.script is taken off f",
    ),
    "cached": (
        source(
            "import functools",
            before="@functools.lru_cache(maxsize=None)\ndef f(n):\n    return n",
            body="f(3)",
        ),
        "functools",
        "the decorator functools.lru_cache is taken off f",
    ),
    "registered": (
        source("from mmengine import REG", before="@REG.register('mine')"),
        "mmengine",
        "the decorator mmengine.REG.register is taken off Mine",
    ),
    "wrapped_by_its_own": (
        source(
            "import functools",
            before="def grads_off(f):\n"
            "    def g(*args):\n"
            "        torch.set_grad_enabled(False)\n"
            "        return f(*args)\n"
            "    return functools.update_wrapper(g, f)",
            method="@grads_off\n    def f(self, x):\n        return x",
            body="self.f(p)",
        ),
        "grads_off",
        "the decorator grads_off is taken off f",
    ),
    "copied_of_torchs": (
        source(
            "import functools",
            before="def use_grad(f):\n"
            "    def g(self, *args):\n"
            "        was = torch.is_grad_enabled()\n"
            "        try:\n"
            "            torch.set_grad_enabled(self.defaults.get('with', False))\n"
            "            return f(self, *args)\n"
            "        finally:\n"
            "            torch.set_grad_enabled(was)\n"
            "    functools.update_wrapper(g, f)\n"
            "    return g",
        ).replace("@torch.no_grad()", "@use_grad"),
        "use_grad",
        "the decorator use_grad is taken off step for torch.no_grad()",
    ),
    "out_of_state": (
        source(body='torch.maximum(s["m"], p.grad, out=s["m"])'),
        "out=",
        'out=s["m"] is written as a copy',
    ),
    "out_of_a_name": (
        source(body="m = s['m']; torch.add(m, p.grad, alpha=0.5, out=m)"),
        "out=",
        "out=m is written as a copy",
    ),
    "out_in_a_branch": (
        source(
            body="m = s['m']\n"
            "                    if group['amsgrad']:\n"
            "                        torch.mul(m, 2, out=m)"
        ),
        "out=",
        "out=m is written as a copy",
    ),
    "out_inside_out": (
        source(body="m = s['m']; torch.add(torch.mul(m, 2, out=m), p.grad, out=m)"),
        "out=",
        "out=m is written as a copy",
    ),
    "unused": (source("import os, sys"), "import os", "import of os, sys is taken out"),
    "unused_in_part": (
        source("import math, os", body="math.sqrt(2)"),
        "math, os",
        "import of os is taken out",
    ),
    "numpy": (
        source("import numpy as np", body="p.mul_(np.sqrt(0.5)).add_(np.pi)"),
        "numpy",
        "np.sqrt is written as math.sqrt",
    ),
    "another_tensor": (
        source(body='s["m"].set_(s["m"] + p.grad)'),
        "set_",
        'is written as s["m"].copy_(s["m"] + p.grad)',
    ),
    "exception": (
        source(
            before="class Bad(ValueError):\n    pass",
            init="if lr < 0:\n            raise Bad(f'{lr} is low')",
        ),
        "Bad",
        "ValueError is raised in place of Bad",
    ),
    "hint": (
        source("from jaxtyping import Float", hint=": Float"),
        "jaxtyping",
        "the hint Float is left out",
    ),
    "hint_as_text": (
        source("import numpy as np", hint=': "np.ndarray"'),
        "numpy",
        "the hint",
    ),
    "method": (
        source(
            "import pickle",
            method="def __reduce__(self):\n        return pickle.dumps(self.state)",
        ),
        "pickle",
        "the method __reduce__, which no step calls, is left out",
    ),
    "version": (
        source(
            "import re",
            before="def at_least(found, wanted):\n"
            "    return re.match(r'\\d+', found).group(0) >= wanted\n\n"
            "NEW: bool = at_least(torch.__version__, '1')",
            body="p.mul_(0.5 if NEW else 2)",
        ),
        "import re",
        "is written as True, as it is here",
    ),
    "printed": (
        source(
            "from tabulate import tabulate",
            init="table = tabulate([[1]])\n        print(tabulate([[2]]))\n"
            "        print('table', table)",
        ),
        "tabulate",
        "what is only printed is left out",
    ),
    "logged": (
        source("from loguru import logger", body="logger.info('a step')"),
        "loguru",
        "what is only printed is left out",
    ),
    "factory": (
        source(
            "from mmengine import REG",
            after="def build(cfg):\n    return REG.build(cfg, Mine)",
        ),
        "mmengine",
        "the function build, which no optimizer uses, is left out",
    ),
}
DISTRIBUTED = "import torch.distributed as dist"
KINDS |= {
    "one process, asked in place": (
        source(
            DISTRIBUTED,
            body="if dist.is_available() and dist.is_initialized():\n"
            "                        dist.all_reduce(p.grad)\n"
            "                    p.add_(p.grad, alpha=-0.1)",
        ),
        "dist.",
        "is written as False, as where one process trains",
    ),
    "one process, asked for its number": (
        source(
            DISTRIBUTED,
            init="self.world = dist.get_world_size() if dist.is_initialized() else 1",
            body="if self.world > 1:\n"
            "                        dist.all_reduce(p.grad)\n"
            "                    else:\n"
            "                        p.add_(p.grad, alpha=-0.1)",
        ),
        "dist.",
        "is written as False, as where one process trains",
    ),
    "one process, asked by a function": (
        source(
            "from torch import distributed as dist",
            before="def world():\n    if not dist.is_initialized():\n        return 1\n"
            "    return dist.get_world_size()",
            body="if world() > 1:\n"
            "                        dist.barrier()\n"
            "                    elif p.ndim:\n"
            "                        p.add_(p.grad, alpha=-0.1)",
        ),
        "dist.",
        "is written as False, as where one process trains",
    ),
    "a flag that is set anyway": (
        source(
            body="(c,) = [p.detach().clone()]\n"
            "                    c.requires_grad = False\n"
            "                    p.add_(c, alpha=-1e-4)",
        ),
        "requires_grad",
        "c.requires_grad = False is left out",
    ),
    "a gradient that the training loop clears": (
        source(
            body="p.add_(p.grad, alpha=-0.1)\n"
            "                    p.grad = None\n                    continue"
        ),
        "= None\n                    continue",
        "p.grad = None is left out",
    ),
    "a global of one function": (
        source(
            body="global kept\n                    kept = p.grad * -0.1\n"
            "                    p.add_(kept)"
        ),
        "nothing",
        "the global kept begins as None",
    ),
    "an enumeration": (
        source(
            "from enum import Enum, auto",
            before="class Kind(Enum):\n    ONE = auto()\n    TWO = auto()",
            body="p.add_(0.1 if Kind.ONE == Kind.ONE else 0.2)",
        ),
        "Enum",
        "Kind is a class of plain values",
    ),
    "an enumeration of words": (
        source(
            "import enum",
            before='class Kind(enum.Enum):\n    """Kinds."""\n    ONE = "one"',
            body="p.add_(0.1 if Kind.ONE is Kind.ONE else 0.2)",
        ),
        "enum.",
        "Kind is a class of plain values",
    ),
    "a method with a name like Python's": (
        source(
            init="self.__made_ready__(lr)",
            method="def __made_ready__(self, lr):\n        self.ready = lr",
            body="p.add_(self.ready)",
        ),
        "__made_ready__",
        "the method __made_ready__ is called made_ready",
    ),
    "a name of the object": (
        source(init='self.__name__ = "Mine"', body="p.add_(1)"),
        "__name__",
        "is left out: nothing hangs on it",
    ),
    "what torch does not have": (
        source(
            before="def fused(x):\n    torch._fused_mine_(x)\n    return x",
            body="p.add_(1)\n                    if p.numel() > 10**9:\n"
            "                        fused(p)",
        ),
        "_fused_mine_(x)",
        "raises: torch has no torch._fused_mine_",
    ),
    "a stop for a debugger": (
        source(
            body="if p.numel() > 10**9:\n                        breakpoint()\n"
            "                    p.add_(1)",
        ),
        "breakpoint",
        "what is only printed is left out",
    ),
}

AVERAGING = """
import torch


class Slow(torch.optim.Optimizer):
    def __init__(self, {wanted}):
        {made}
        self.slow = [p.detach().clone() for g in self.param_groups for p in g["params"]]
        for copy in self.slow:
            copy.requires_grad = False

    def step(self, closure=None):
        loss = self.inner.step(closure)
        with torch.no_grad():
            weights = [p for g in self.param_groups for p in g["params"]]
            for weight, slow in zip(weights, self.slow):
                slow.lerp_(weight, 0.5)
                weight.copy_(slow)
        return loss
"""
SHARED = "self.param_groups = {0}.param_groups\n        self.inner = {0}"
KINDS |= {
    "an optimizer that is handed over": (
        AVERAGING.format(
            wanted="optimizer, k=2",
            made=SHARED.format("optimizer")
            + "\n        self.defaults = optimizer.defaults",
        ),
        "requires_grad",
        "copy.requires_grad = False is left out",
    ),
    "an optimizer beside the parameters": (
        AVERAGING.format(
            wanted="params, base_optimizer",
            made="super().__init__(params, {})\n        self.inner = base_optimizer",
        ),
        "requires_grad",
        "copy.requires_grad = False is left out",
    ),
    "parameters in lists": (
        AVERAGING.format(
            wanted="lr=0.1, muon_params=None, adam_params=None",
            made="super().__init__([*muon_params, *adam_params], dict(lr=lr))\n"
            "        self.inner = torch.optim.SGD(self.param_groups)",
        ),
        "requires_grad",
        "copy.requires_grad = False is left out",
    ),
}
SCRIPT = source(
    "import argparse",
    after="def main():\n    args = argparse.ArgumentParser().parse_args()\n"
    "    model = torch.nn.Linear(2, 1)\n    rule = Mine(model.parameters())\n"
    "    for _ in range(args.steps):\n        model(torch.ones(2)).backward()\n"
    '        rule.step()\n\n\nif __name__ == "__main__":\n    main()',
)


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def dux(*arguments):
    return CliRunner().invoke(app, ["check", *arguments])


def fixed(file="mine.py", *arguments):
    result = dux("--fix", "--json", file, *arguments)
    (one,) = json.loads(result.stdout)
    return one["fix"], result


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_rewrite_is_accepted_and_takes_the_same_steps(kind):
    text, gone, said = KINDS[kind]
    Path("mine.py").write_text(text)
    compile(text, "mine", "exec")

    fix, result = fixed()

    assert 0 == result.exit_code, fix["trouble"]
    assert "mine.fixed.py" == fix["written"]
    written = Path("mine.fixed.py").read_text()
    assert gone not in written
    assert any(said in change["what"] for change in fix["changes"]), fix["changes"]
    assert fix["compared"].startswith("the same steps to the last bit in ")
    assert 0 == dux("mine.fixed.py").exit_code
    assert text == Path("mine.py").read_text()


def test_the_diff_is_shown_with_what_was_done():
    Path("mine.py").write_text(KINDS["out_of_state"][0])

    result = dux("--fix", "mine.py")

    assert 0 == result.exit_code, result.output
    for line in ("--- mine.py", "+++ mine.fixed.py", "written to mine.fixed.py"):
        assert line in result.stdout
    assert (
        '-                    torch.maximum(s["m"], p.grad, out=s["m"])'
        in result.stdout
    )
    assert (
        '+                    s["m"].copy_(torch.maximum(s["m"], p.grad))'
        in result.stdout
    )


def test_a_script_is_reduced_to_its_optimizer():
    Path("train.py").write_text(SCRIPT)

    fix, result = fixed("train.py")

    assert 0 == result.exit_code, fix["trouble"]
    written = Path("train.fixed.py").read_text()
    assert "argparse" not in written and "class Mine" in written
    assert "what its optimizers use was run (a script is not run)" in fix["compared"]


def test_what_is_accepted_and_needs_nothing_is_left_alone():
    Path("mine.py").write_text(source())

    fix, result = fixed()

    assert 0 == result.exit_code
    assert (None, "", []) == (fix["written"], fix["trouble"], fix["changes"])
    assert not Path("mine.fixed.py").exists()
    Path("mine.fixed.py").write_text("mine")
    assert 0 == dux("--fix", "mine.py").exit_code


@pytest.mark.parametrize("kind", ["file", "folder", "link"])
def test_nothing_that_is_there_is_written_over(kind):
    Path("mine.py").write_text(KINDS["unused"][0])
    target = Path("mine.fixed.py")
    if kind == "file":
        target.write_text("mine")
    elif kind == "folder":
        target.mkdir()
    else:
        target.symlink_to("elsewhere.py")

    result = dux("--fix", "mine.py")

    assert 2 == result.exit_code
    assert "mine.fixed.py, which is there already" in result.stderr
    assert 1 == len(result.stderr.splitlines())
    assert not Path("elsewhere.py").exists()
    if kind == "file":
        assert "mine" == target.read_text()


# What only looks as if it changed nothing.
TRAPS = {
    "a constant that is a tensor": (
        source(
            "import numpy as np",
            before="RATE = torch.tensor(np.linspace(0, 1, 3)[1])",
            body="p.mul_(RATE)",
        ),
        "no rule of thumb mends",
    ),
    "a log line that does something": (
        source(
            "from mystery import logger",
            body="logger.info(p.mul_(0.5))",
        ),
        "other steps",
    ),
    "a decorator that does something": (
        source(
            "import mystery",
            before="def double(f):\n"
            "    def g(self, closure=None):\n        f(self, closure)\n"
            "        return f(self, closure)\n    return g\n\n"
            "@mystery.register\ndef kept(x):\n    return x",
            body="p.mul_(mystery.rate)",
        ),
        "",
    ),
    "a weight that is no longer trained": (
        source(body="p.requires_grad = False"),
        "other steps",
    ),
    "a gradient that is asked for again": (
        source(
            body="g = p.grad\n"
            "                    p.grad = None\n"
            "                    if p.grad is None:\n"
            "                        p.sub_(g)\n                        continue"
        ),
        "other steps",
    ),
    "processes that are there": (
        source(DISTRIBUTED, body="p.add_(dist.get_world_size())"),
        "takes no step at all",
    ),
    "an enumeration that is counted": (
        source(
            "from enum import Enum",
            before="class Kind(Enum):\n    ONE = 1\n    TWO = 2",
            body="p.add_(len(list(Kind)))",
        ),
        "no rule of thumb mends",
    ),
    "a step that is left open": (
        source("import os", body='raise NotImplementedError("yours to write")'),
        "under plain torch Mine takes no step at all: it raised NotImplementedError",
    ),
    "an array, not a number": (
        source("import numpy as np", body="p.mul_(np.sqrt(p.grad.abs()))"),
        "other steps",
    ),
    "a file that draws": (
        source("import os", body='p.add_(float(os.environ["RATE"]))'),
        "",
    ),
    "a branch that nothing comes past": (
        source(
            "import numpy as np",
            body="p.add_(np.sqrt(2.0) if p.numel() == 12345 else 0.0)\n"
            "                    if p.numel() == 12345:\n"
            "                        p.add_(np.exp(1.0))",
        ),
        "no comparison came past line",
    ),
}


@pytest.mark.parametrize("kind", sorted(TRAPS))
def test_what_cannot_be_shown_to_be_the_same_is_not_written(kind):
    text, said = TRAPS[kind]
    Path("mine.py").write_text(text)

    fix, result = fixed()

    assert 1 == result.exit_code
    assert None is fix["written"]
    assert fix["trouble"] and said in fix["trouble"]
    assert [Path("mine.py")] == [*Path().iterdir()]


def test_an_out_that_nothing_comes_past_stays():
    text = source(
        "import os",
        body="m = s['m']\n"
        "                    if p.numel() == 12345:\n"
        "                        torch.mul(m, 2, out=m)",
    )
    Path("mine.py").write_text(text)

    fix, result = fixed()

    assert 0 == result.exit_code, fix["trouble"]
    assert "out=m" in Path("mine.fixed.py").read_text()
    assert ["import of os"] == [change["what"][4:16] for change in fix["changes"]]


def test_a_file_that_does_harm_where_it_may_does_none():
    witness = Path("harmed").absolute()
    Path("mine.py").write_text(
        source(
            "import os",
            before=f"os.system('touch {witness}')\nopen({str(witness)!r}, 'w')",
        )
    )

    fix, _ = fixed()

    assert not witness.exists()
    assert "as a whole it could not be run" in fix["compared"] or fix["trouble"]


def test_a_rewrite_that_is_refused_says_what_is_left():
    Path("mine.py").write_text(source(body="p.numpy()"))

    fix, result = fixed()

    assert 1 == result.exit_code
    assert "numpy" in fix["trouble"]


def test_files_beside_become_part_of_what_is_written():
    Path("helper.py").write_text("import os\n\n\ndef twice(x):\n    return x * 2\n")
    Path("mine.py").write_text(
        source("from helper import twice", body="p.mul_(twice(0.25))")
    )

    fix, result = fixed("mine.py", "--with", "helper.py")

    assert 0 == result.exit_code, fix["trouble"]
    assert "def twice" in Path("mine.fixed.py").read_text()
    assert 0 == dux("mine.fixed.py").exit_code


def test_every_class_of_a_file_is_compared():
    two = source() + source().replace("Mine", "Yours").replace('"""A rule."""', "")
    Path("mine.py").write_text(f"import os\n{two}")

    fix, result = fixed()

    assert 0 == result.exit_code, fix["trouble"]
    written = Path("mine.fixed.py").read_text()
    assert "class Mine" in written and "class Yours" in written


UNBOUND = source(body="p.mul_(warm_up_of(p))").replace("Mine", "Yours")


@pytest.mark.parametrize("before", ["", "global count\n        "])
def test_a_class_that_steps_nowhere_is_taken_out_beside_one_that_is_fine(before):
    broken = UNBOUND.replace('"""A rule."""', "").replace(
        "loss = None", f"{before}loss = None"
    )
    Path("mine.py").write_text(source() + broken)

    fix, result = fixed()

    assert 0 == result.exit_code, fix["trouble"]
    written = Path("mine.fixed.py").read_text()
    assert "class Mine" in written and "class Yours" not in written
    (said,) = [each["what"] for each in fix["changes"] if "Yours" in each["what"]]
    assert "takes no step, it raises NameError: name 'warm_up_of'" in said


STRANGE = """
class Yours(torch.optim.Optimizer):
    def __init__(self, params, lr=0.1):
        super(Mine, self).__init__(params, dict(lr=lr))

    def step(self, closure=None):
        pass
"""


def test_a_class_whose_super_is_of_another_is_taken_out_beside_that_one():
    Path("mine.py").write_text(source() + STRANGE)

    fix, result = fixed()

    assert 0 == result.exit_code, fix["trouble"]
    assert "class Yours" not in Path("mine.fixed.py").read_text()
    (said,) = [each["what"] for each in fix["changes"] if "Yours" in each["what"]]
    assert "it raises TypeError: super(type, obj)" in said


STAY = {
    "alone": UNBOUND,
    "named by another": source("OTHER = 1", after="OTHER = Yours")
    + UNBOUND.replace('"""A rule."""', ""),
    "raising something else": source()
    + source(body="p.numpy()\n                    raise ValueError('no')")
    .replace("Mine", "Yours")
    .replace('"""A rule."""', ""),
    "stepping at first": source()
    + source(body="p.numpy()").replace("Mine", "Yours").replace('"""A rule."""', ""),
}


@pytest.mark.parametrize("kind", sorted(STAY))
def test_any_other_refused_class_stays_and_is_told_of(kind):
    Path("mine.py").write_text(STAY[kind])

    fix, result = fixed()

    assert 1 == result.exit_code
    assert fix["trouble"] and not Path("mine.fixed.py").exists()


HESSIAN = """
import os
import torch


class Mine(torch.optim.Optimizer):
    def __init__(self, params, lr=0.1):
        super().__init__(params, dict(lr=lr))

    def step(self, closure=None):
        loss = closure() if closure is not None else None
        params = [p for group in self.param_groups for p in group["params"]]
        zs = [torch.ones_like(p) for p in params]
        hs = torch.autograd.grad([p.grad for p in params], params, zs)
        with torch.no_grad():
            for p, h in zip(params, hs):
                p.addcdiv_(p.grad, h.abs() + 1.0, value=-0.1)
        return loss
"""


BACKWARD = """
import os
import torch


class Mine(torch.optim.Optimizer):
    def __init__(self, params, lr=0.1):
        super().__init__(params, dict(lr=lr))

    def step(self, closure):
        self.zero_grad()
        with torch.enable_grad():
            loss = closure()
            loss.backward()
        with torch.no_grad():
            for group in self.param_groups:
                for p in group["params"]:
                    p.sub_(p.grad, alpha=group["lr"])
        return loss
"""


@pytest.mark.parametrize("text", [HESSIAN, BACKWARD], ids=["a graph", "backward"])
def test_a_class_that_needs_the_graph_of_a_loss_is_compared_with_one(text):
    Path("mine.py").write_text(text)

    fix, result = fixed()

    assert 0 == result.exit_code, fix["trouble"]
    assert "import os" not in Path("mine.fixed.py").read_text()


def test_a_folder_is_rewritten_file_by_file():
    Path("zoo").mkdir()
    Path("zoo/a.py").write_text(KINDS["unused"][0])
    Path("zoo/b.py").write_text(source(body="p.numpy()"))
    Path("zoo/c.py").write_text("x = 1\n")

    result = dux("--fix", "zoo")

    assert 1 == result.exit_code
    assert "written to zoo/a.fixed.py" in result.stdout
    assert "zoo/b.py: not rewritten" in result.stdout
    assert ["a.fixed.py", "a.py", "b.py", "c.py"] == sorted(
        path.name for path in Path("zoo").iterdir()
    )


def test_to_fix_something_has_to_be_run():
    Path("mine.py").write_text(source())

    result = dux("--fix", "--static", "mine.py")

    assert 2 == result.exit_code
    assert "--static runs nothing" in result.stderr


@pytest.mark.parametrize(
    "wanted", ["lr", "lr, betas, eps", "lr, weight_decay", "lr=required"]
)
def test_a_class_that_wants_a_rate_is_compared_with_the_usual_one(wanted):
    imports = "import os\nfrom torch.optim.optimizer import required"
    Path("mine.py").write_text(source(imports, lr=wanted))

    fix, result = fixed()

    assert 0 == result.exit_code, fix["trouble"]
    assert "the same steps" in fix["compared"]


# What a file computes from where it runs; in the jail that is another place.
SURROUNDINGS = {
    "the clock": ("import datetime", "datetime.datetime.now().year / 4096"),
    "the process": ("import os", "os.getpid() * 0 + 0.25"),
    "the arguments": ("import sys", "0.25 * len(sys.argv[:1])"),
    "a tracer": ("import sys", "0.5 if sys.gettrace() else 0.25"),
    "a tracer, by a detour": ("import re", "0.5 if re.enum.sys.gettrace() else 0.25"),
    "a package that is looked for": (
        "import importlib.util",
        'bool(importlib.util.find_spec("numpy")) + 0.25',
    ),
    "a folder": ("import os", 'os.path.exists("/") + 0.25'),
    "in a function": (
        "def found():\n    import os\n    return len(os.environ) * 0 + 0.25",
        "found()",
    ),
}


@pytest.mark.parametrize("kind", sorted(SURROUNDINGS))
def test_what_hangs_on_where_a_file_runs_is_not_written_down(kind):
    before, computed = SURROUNDINGS[kind]
    text = source(before=f"{before}\nRATE = {computed}", body="p.mul_(RATE)")
    Path("mine.py").write_text(text)

    fix, result = fixed()

    assert 1 == result.exit_code
    assert None is fix["written"] and "no rule of thumb" in fix["trouble"]
    assert not Path("mine.fixed.py").exists()


def test_a_name_with_line_ends_forges_no_line_of_the_diff():
    name = "a\n+++ b\n-x = 1.py"
    Path(name).write_text(KINDS["unused"][0])

    result = dux("--fix", name)

    assert 0 == result.exit_code, result.output
    assert ["--- a +++ b -x = 1.py", "+++ a +++ b -x = 1.fixed.py"] == [
        line for line in result.stdout.splitlines() if line.startswith(("---", "+++"))
    ]


# What runs when a file is imported, and stands where no class is judged with it.
AT_IMPORT = {
    "a statement": "open({witness!r}, 'w')",
    "beside another": "LATE = 1; open({witness!r}, 'w')",
    "a class": "class Other:\n    held = open({witness!r}, 'w')",
    "a default": "def other(held=open({witness!r}, 'w')):\n    return held",
    "a decorator": "@(lambda f: open({witness!r}, 'w'))\ndef other():\n    return 1",
    "what uses the class": "KINDS = [Mine, open({witness!r}, 'w')]",
    "a block": "with open({witness!r}, 'w') as held:\n    held.write('x')",
    "another optimizer": "class Other(torch.optim.Optimizer):\n"
    "    held = open({witness!r}, 'w')\n\n"
    "    def step(self, closure=None):\n        return None",
    "many": "\n".join(["open({witness!r}, 'w')"] * 30),
}


@pytest.mark.parametrize("kind", sorted(AT_IMPORT))
def test_a_rewrite_holds_nothing_at_import_that_nobody_judged(kind):
    witness = str(Path("harmed").absolute())
    text = source("import os", after=AT_IMPORT[kind].format(witness=witness))
    Path("mine.py").write_text(text)

    fix, result = fixed("mine.py", "--class", "Mine")

    assert 0 == result.exit_code, fix["trouble"]
    exec(compile(Path("mine.fixed.py").read_text(), "mine", "exec"), {"__name__": "m"})
    assert not Path(witness).exists()
    assert any("which no optimizer uses" in each["what"] for each in fix["changes"])


def test_what_a_rule_may_say_beside_the_class_stays():
    Path("mine.py").write_text(source("import os", after='KINDS = {"mine": Mine}'))

    fix, result = fixed()

    assert 0 == result.exit_code, fix["trouble"]
    assert 'KINDS = {"mine": Mine}' in Path("mine.fixed.py").read_text()


HALVES = {
    "a choice": "p.mul_(np.exp(1e4) if p.numel() == 12345 else 1.0)",
    "the other choice": "p.mul_(1.0 if p.numel() != 12345 else np.exp(1e4))",
    "an or": "p.mul_(p.numel() != 12345 or np.exp(1e4))",
    "a function": "late = lambda: np.exp(1e4)\n"
    "                    p.mul_(1.0 if p.numel() != 12345 else late())",
    "a list": "p.mul_(1.0 + sum([np.exp(1e4) for n in p.shape if n == 12345]))",
}


@pytest.mark.parametrize("kind", sorted(HALVES))
def test_half_a_line_that_nothing_comes_past_is_not_rewritten(kind):
    Path("mine.py").write_text(source("import numpy as np", body=HALVES[kind]))

    fix, result = fixed()

    assert 1 == result.exit_code and None is fix["written"]
    assert "no comparison came past line" in fix["trouble"]


def test_half_a_line_that_is_computed_is_rewritten():
    body = "p.mul_(np.sqrt(0.5) if p.dim() < 9 else 1.0)"
    Path("mine.py").write_text(source("import numpy as np", body=body))

    fix, result = fixed()

    assert 0 == result.exit_code, fix["trouble"]
    assert "math.sqrt(0.5) if" in Path("mine.fixed.py").read_text()
