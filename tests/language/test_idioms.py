"""How optimizers are written out there: what is nothing to the rule is taken off."""

import inspect
import json
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from dux_agent.cli import app
from dux_sandbox.findings import SourceRejected
from dux_sandbox.loading import load
from dux_sandbox.static_check import check
from tests.rule_sources import one_parameter, rule

FILES = """adadelta adagrad adam adamax adamw asgd nadam radam rmsprop rprop sgd
_adafactor _muon""".split()


def source_of(name):
    return Path(inspect.getfile(torch.optim)).with_name(f"{name}.py").read_text()


def trained(build, steps=6):
    """Weights after some steps on the same gradients, float32, 2-d."""
    generator = torch.Generator().manual_seed(1)
    weights = [
        torch.nn.Parameter(torch.randn(4, 3, generator=generator)) for _ in range(3)
    ]
    optimizer = build(weights)
    for step in range(steps):
        for index, weight in enumerate(weights):
            weight.grad = torch.randn(4, 3, generator=generator)
            if step == 2 and index == 1:
                weight.grad = None
        optimizer.step()
    return weights


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("options", [{}, {"foreach": True}], ids=str)
def test_torchs_own_files_are_accepted_as_written_and_do_the_same(name, options):
    if name == "_muon" and options:
        pytest.skip("Muon has no such option")
    source = source_of(name)
    rule_class = load(source)
    real = getattr(torch.optim, rule_class.__name__)

    held = trained(lambda params: rule_class(params, **options))

    assert () == check(source).findings
    expected = trained(lambda params: real(params, **options))
    assert all(map(torch.equal, expected, held))


@pytest.mark.parametrize(
    "options", [{"amsgrad": True}, {"maximize": True}, {"weight_decay": 0.1}], ids=str
)
def test_the_options_of_torchs_adam_do_the_same(options):
    rule_class = load(source_of("adam"))

    held = trained(lambda params: rule_class(params, **options))

    expected = trained(lambda params: torch.optim.Adam(params, **options))
    assert all(map(torch.equal, expected, held))


@pytest.mark.parametrize("name", ["sgd", "adam", "adagrad"])
def test_a_fused_kernel_is_named_and_never_called(name):
    optimizer = load(source_of(name))([one_parameter()], fused=True)

    with pytest.raises(NotImplementedError, match="not available in a rule"):
        optimizer.step()


TOPS = {
    "version": "__version__ = '1.0'\n__author__ = 'me'\n__all__ = ['Rule']",
    "all, later": "__all__ = []\n__all__ += ['Rule']",
    "one underscore at both ends": "_scaled_ = 1.0",
    "slots": "class Meter:\n    __slots__ = ('v',)\n"
    "    def __init__(self):\n        self.v = 0.0\nMeter().v",
    "chained": "import itertools\n"
    "assert [*itertools.chain.from_iterable([[1], (2, 3)])] == [1, 2, 3]",
    "hints": "from typing import overload, override, Protocol, TypeAlias, TypeVar\n"
    "T = TypeVar('T')\nPair: TypeAlias = 'tuple[int, int]'\n"
    "Kind: TypeAlias = type[torch.optim.Optimizer]\n"
    "Either = type[torch.Tensor] | Pair\n"
    "class Shaped(Protocol):\n    shape: 'Pair'\n"
    "    def numel(self) -> int: ...\n"
    "@overload\ndef f(x: int) -> int: ...\n"
    "@overload\ndef f(x: float) -> float: ...\ndef f(x):\n    return x",
    "extensions": "from typing_extensions import override, TypedDict, Self",
    "for checkers": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n"
    "    import numpy as np\n    from .beside import Thing",
    "for checkers, by module": "import typing\nif typing.TYPE_CHECKING:\n"
    "    import numpy\nelse:\n    numpy = None",
    "an import that is there": "try:\n    from torch.optim.optimizer import ParamsT\n"
    "except ImportError:\n    ParamsT = list",
    "an import that is not": "try:\n    import triton\n    HAS = True\n"
    "except (ImportError, ModuleNotFoundError):\n    triton = None\n    HAS = False",
    "a name that is not": "try:\n    from torch.optim.optimizer import nowhere\n"
    "except ImportError:\n    nowhere = 1",
    "warnings": "import warnings\nwarnings.filterwarnings('ignore')\n"
    "warnings.warn('slow', UserWarning)",
    "logging": "import logging\nlog = logging.getLogger(__name__)\n"
    "log.info('%s', 1)\nlog.warning('slow')",
    "abstract": "from abc import ABC, ABCMeta, abstractmethod\n"
    "class Base(ABC):\n    @abstractmethod\n    def f(self):\n        pass\n"
    "class Other(metaclass=ABCMeta):\n    pass",
    "generic": "from typing import Generic, TypeVar\nT = TypeVar('T')\n"
    "class Box(Generic[T]):\n    pass",
    "compiled": "@torch.compile(fullgraph=True)\ndef f(x):\n    return x",
    "scripted": "@torch.jit.script\ndef f(x):\n    return x",
    "remembered": "from functools import lru_cache, wraps\n"
    "@lru_cache(maxsize=None)\ndef f(x):\n    return x",
    "compiled, by a call": "def f(x):\n    return x\nf = torch.compile(f)",
    "no capture": "assert not torch.compiler.is_compiling()\n"
    "assert not torch.jit.is_scripting()",
    "docstring of the class": "",
}


@pytest.mark.parametrize("name", TOPS)
def test_an_idiom_at_the_top_is_accepted(name):
    source = rule("p.add_(p.grad, alpha=-0.1)", top=TOPS[name])
    source += "\nRule.__doc__ = 'A rule.' + Rule.__name__\n"
    parameter = one_parameter()

    load(source)([parameter]).step()

    assert torch.equal(torch.full((3, 2), 0.9), parameter.detach())


@pytest.mark.parametrize("name", ["compiled", "scripted", "remembered"])
def test_a_decorator_that_speeds_up_is_taken_off_with_a_note(name):
    report = check(rule(top=TOPS[name]))

    assert report.ok
    [note] = report.notes
    assert "left out" == note.rule and "only speeds f up" in note.message


@pytest.mark.parametrize(
    "top",
    [
        "import os",
        "try:\n    import os\nexcept ImportError:\n    raise",
        "try:\n    import os\nexcept ValueError:\n    pass",
        "try:\n    import os\n    os.remove('x')\nexcept ImportError:\n    pass",
        "from .beside import Thing",
        "from .optimizer import register_optimizer_step_pre_hook",
        "if True:\n    import os",
        "_getattr_ = 1",
        "__import__ = 1",
        "@torch.library.custom_op\ndef f(x):\n    return x",
    ],
)
def test_what_only_looks_like_an_idiom_is_refused(top):
    assert not check(rule(top=top)).ok


def step(lines):
    parameter = one_parameter()
    load(rule(lines))([parameter]).step()
    return parameter


def test_out_is_a_copy_into_a_tensor_of_the_same_shape_and_dtype():
    parameter = step(
        "v = torch.zeros_like(p)\nw = torch.maximum(v, p.grad * 3, out=v)\n"
        "assert w is v\np.sub_(v)\n"
        "values, places = torch.zeros(3), torch.zeros(3, dtype=torch.long)\n"
        "torch.max(v, 1, out=(values, places))\np.sub_(values.sum())"
    )

    assert torch.equal(torch.full((3, 2), 1.0 - 3 - 9), parameter.detach())


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("torch.add(p.grad, 1, out=torch.zeros(2))", "must be the same"),
        ("torch.add(p.grad, 1, out=p.t())", "must be the same"),
        ("torch.cat([p, p], out=p)", "must be the same"),
        ("torch.add(p.grad, 1, out=p.double())", "must be the same"),
        ("torch.add(p.grad, 1, out=[p])", "one tensor for each result"),
        ("torch.max(p, 1, out=p)", "wants a tensor"),
        ("x = torch.add\nx(p, p, **{'out': p})", "out= is not available"),
    ],
)
def test_out_never_resizes_what_it_is_given(lines, said):
    parameter = one_parameter()
    optimizer = load(rule(lines))([parameter])

    with pytest.raises(TypeError, match=said):
        optimizer.step()

    assert torch.equal(torch.ones(3, 2), parameter.detach())


def test_a_function_of_the_source_gets_its_own_out():
    parameter = step(
        "def double(x, out=None):\n    out.copy_(x * 2)\n    return out\n"
        "double(p.grad, out=p)\nd = dict(out=1)\nassert d['out'] == 1"
    )

    assert torch.equal(torch.full((3, 2), 2.0), parameter.detach())


STOCK = """
import torch
{top}
class Rule({bases}):
    pass
{end}
"""


@pytest.mark.parametrize(
    "parts",
    [
        {"bases": "Mixin, torch.optim.SGD"},
        {"bases": "Plain, torch.optim.SGD"},
        {"bases": "torch.optim.SGD", "end": "Rule._init_group = f"},
        {"bases": "torch.optim.SGD", "end": "setattr(Rule, '_init_' + 'group', f)"},
        {"bases": "Mixin, torch.optim.Adam", "end": "Mixin._init_group = f"},
    ],
)
def test_no_name_of_torchs_other_optimizers_is_put_before_theirs(parts):
    top = """
def f(self, *lists):
    return False
class Mixin:
    _init_group = f
class Plain(torch.optim.Optimizer):
    _init_group = f
    def step(self, closure=None):
        pass
"""
    source = STOCK.format(**{"top": top, "end": "", **parts})

    with pytest.raises(SourceRejected):
        load(source)


AFTER = {
    "factory": "def make(model, lr=1e-3):\n    return Rule(model.parameters(), lr=lr)",
    "use": "model = torch.nn.Linear(2, 1)\noptimizer = Rule(model.parameters())\n"
    "for _ in range(3):\n    optimizer.step()\nprint('done', open)",
    "use of torch": "torch.manual_seed(0)\ntorch.save({}, 'x')",
    "subclass of something": "class Trainer(torch.nn.Module):\n    pass",
    "assertion": "assert Rule.nowhere",
    "with": "with open('x') as f:\n    f.write('x')",
}


@pytest.mark.parametrize("name", AFTER)
def test_what_uses_the_rule_is_left_out_with_a_note(name):
    source = rule("p.add_(p.grad, alpha=-0.5)") + AFTER[name]
    parameter = one_parameter()

    report = check(source)
    load(source)([parameter]).step()

    assert report.ok
    assert {"left out"} == {note.rule for note in report.notes}
    assert all(note.line > 10 and note.instead for note in report.notes)
    assert torch.equal(torch.full((3, 2), 0.5), parameter.detach())


def test_what_the_rule_uses_stays_wherever_it_stands():
    source = (
        rule("p.add_(p.grad, alpha=-scaled(RATES[0]))")
        + "def scaled(x):\n    return x * SCALE\nRATES = []\nRATES.append(0.25)\n"
        + "SCALE = 1.0\nfor _ in range(1):\n    SCALE *= 2\n"
        + "Rule.t = None\n"
    )
    parameter = one_parameter()

    load(source)([parameter]).step()

    assert torch.equal(torch.full((3, 2), 0.5), parameter.detach())


@pytest.mark.parametrize(
    "end",
    [
        "import os",
        "from os import path",
        "def helper():\n    open('x')",
        "Rule.step = open",
        "Rule = open",
        "TABLE.append(open)",
        "if True:\n    def helper():\n        open('x')",
        "try:\n    import os\nexcept ValueError:\n    pass",
    ],
)
def test_what_the_rule_could_meet_is_judged_after_the_class_too(end):
    source = rule("helper()", top="TABLE = []\ndef helper():\n    TABLE") + end + "\n"

    assert not check(source).ok


def test_dux_check_shows_what_was_left_out(tmp_path):
    path = tmp_path / "rule.py"
    path.write_text(rule("p.add_(p.grad, alpha=-0.1)") + "print(Rule)\n")

    told = CliRunner().invoke(app, ["check", str(path), "--static"])
    held = CliRunner().invoke(app, ["check", str(path), "--static", "--json"])

    assert 0 == told.exit_code
    assert "left out: a statement after the class" in told.stdout
    [row] = json.loads(held.stdout)
    assert ["left out"] == [note["rule"] for note in row["notes"]]


RECORDS = """
import torch
from dataclasses import dataclass, field
import dataclasses
from typing import ClassVar


@dataclass
class Base:
    lr: float
    scale: float = 2.0


@dataclasses.dataclass(frozen=True)
class Options(Base):
    seen: list = field(default_factory=list)
    count: int = dataclasses.field(default=3, init=False)
    kind: ClassVar[str] = "plain"

    def __post_init__(self):
        self.seen.append(self.lr)

    def rate(self):
        return self.lr * self.scale * len(self.seen)


class Rule(torch.optim.Optimizer):
    def __init__(self, params, lr=0.1):
        super().__init__(params, dict(lr=lr))
        self.options = Options(lr, scale=5.0)
        assert (self.options.count, Options.kind, Options(1.0).scale) == (3, "plain", 2)
        assert self.options.seen is not Options(1.0).seen

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                p.sub_(p.grad * self.options.rate())
"""


def test_a_dataclass_is_a_plain_class_with_its_fields():
    parameter = one_parameter()

    load(RECORDS)([parameter]).step()

    assert torch.equal(torch.full((3, 2), 0.5), parameter.detach())


@pytest.mark.parametrize(
    "line", ["x: int = open('x')", "x: list = field(default_factory=open)"]
)
def test_what_stands_in_a_dataclass_is_judged(line):
    top = f"from dataclasses import dataclass, field\n@dataclass\nclass A:\n    {line}"

    assert not check(rule(top=top)).ok


def test_a_rate_that_is_required_is_given_with_a_note():
    source = rule("p.add_(p.grad, alpha=-group['lr'])").replace(
        "lr=0.1", "lr=required, eps=1e-8"
    )
    source = "from torch.optim.optimizer import required\n" + source
    parameter = one_parameter()

    report = check(source)
    load(source)([parameter]).step()

    assert ["default"] == [note.rule for note in report.notes]
    assert torch.equal(torch.full((3, 2), 1 - 1e-3), parameter.detach())


def test_detaching_in_place_leaves_a_parameter_trained():
    parameter = step("p.grad.detach_()\nx = p * 1\nx.detach_()")
    optimizer = load(rule("p.detach_()"))([parameter])

    with pytest.raises(TypeError, match="detach_"):
        optimizer.step()

    assert parameter.requires_grad and parameter.is_leaf


def test_torchs_initialisers_fill_a_tensor_of_the_rule():
    parameter = step(
        "from torch.nn import init\nx = torch.empty(3, 2)\ninit.zeros_(x)\n"
        "torch.nn.init.constant_(x, 2.0)\np.copy_(x)"
    )

    assert torch.equal(torch.full((3, 2), 2.0), parameter.detach())


NAMED = {
    "class": "from typing import NamedTuple\nclass Pair(NamedTuple):\n"
    "    '''Two.'''\n    first: float\n    second: float = 2.0",
    "call": "from collections import namedtuple\n"
    "Pair = namedtuple('Pair', ['first', 'second'], defaults=[2.0])",
    "text": "import collections\n"
    "Pair = collections.namedtuple('Pair', 'first, second', defaults=(2.0,))",
}


@pytest.mark.parametrize("name", NAMED)
def test_a_named_tuple_is_read_by_name_by_place_and_taken_apart(name):
    lines = (
        "x = Pair(0.25)\nfirst, second = x\n"
        "assert (x.first, x[1], second, len(x)) == (0.25, 2.0, 2.0, 2)\n"
        "p.sub_(p.grad * x.first * x.second)"
    )
    parameter = one_parameter()

    load(rule(lines, top=NAMED[name]))([parameter]).step()

    assert torch.equal(torch.full((3, 2), 0.5), parameter.detach())


@pytest.mark.parametrize(
    "lines",
    [
        "x = Pair(1.0)\ngetattr(x, '_make')",
        "getattr(Pair, '_make')",
        "getattr(Pair, '_field' + '_defaults')",
        "getattr(Pair(1.0), '__class' + '__')",
        "collections.namedtuple('A', ['_x'])",
        "collections.namedtuple('A b', ['x'])",
        "collections.namedtuple('A', ['x y', 'class'])",
        "collections.namedtuple('A', [f'x{i}' for i in range(60)])",
        "collections.namedtuple('A', [torch])",
        "class B(Pair):\n    pass",
    ],
)
def test_a_named_tuple_is_no_way_in(lines):
    source = rule(lines, top=NAMED["text"])

    with pytest.raises(
        (SourceRejected, AttributeError, ValueError, TypeError, NameError)
    ):
        load(source)([one_parameter()]).step()


@pytest.mark.parametrize(
    ("signature", "named"),
    [
        ("self, closure", None),
        ("self, *, closure", None),
        ("self", None),
        ("self, closure=None, scale=1", None),
        ("self, *arguments", None),
        ("self, closure, batch", "batch"),
        ("self, *, model, closure=None", "model"),
        ("", "self"),
    ],
)
def test_a_step_is_read_by_its_signature(signature, named):
    head = rule().split("    @torch.no_grad()")[0]

    found = check(f"{head}    def step({signature}):\n        pass\n").findings

    if named is None:
        assert () == found
    else:
        assert named in found[0].message and "step" in found[0].instead
