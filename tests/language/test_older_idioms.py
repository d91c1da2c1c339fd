"""How optimizers were written once, what they ask of torch, and what they wrap."""

import pytest
import torch

from dux_sandbox.findings import SourceRejected
from dux_sandbox.laws import check_laws
from dux_sandbox.loading import load
from dux_sandbox.runtime import facade
from dux_sandbox.static_check import check
from tests import models
from tests.executions import both
from tests.rule_sources import one_parameter, rule
from tests.talking import agent_over, run

TOPS = {
    "log without a logger": "import logging\nlogging.basicConfig(level=logging.INFO)\n"
    "logging.info('%s', 1)\nlogging.warning('slow')\nlogging.warn('slow')",
    "log with handlers": "import logging\nlog = logging.getLogger('x')\n"
    "log.addHandler(logging.NullHandler())\nlog.setLevel(logging.DEBUG)\nlog.warn('x')",
    "warnings of every kind": "import warnings\n"
    "for kind in (DeprecationWarning, FutureWarning, RuntimeWarning):\n"
    "    warnings.warn('x', kind)",
    "the compiler's older names": "assert not torch._utils.is_compiling()\n"
    "assert not torch._dynamo.is_compiling()\ntorch._dynamo.graph_break()",
    "decorators of the compiler": "@torch._dynamo.utils.disable_cache_limit()\n"
    "@torch._dynamo.disable\n@torch.compiler.allow_in_graph\ndef f(x):\n    return x",
    "no capture": "assert not torch.cuda.is_available()\n"
    "assert not torch.cuda.is_current_stream_capturing()",
    "its own version": "__version__ = '1.0'\ntext = f'v{__version__}'",
    "the version of torch": "assert torch.__version__ >= '1.5.0'\n"
    "assert int(torch.__version__.split('.')[0]) > 1",
    "what collections held": "import collections\n"
    "assert isinstance(len, collections.Callable)",
    "what torch held for two Pythons": "from torch._six import container_abcs, \\\n"
    "    container_abcs as abcs\nfrom torch._six import inf as far\n"
    "assert isinstance([], container_abcs.Iterable) and abcs and far > 1",
    "what this torch lacks": "try:\n"
    "    HAS = 'Tensor' in torch.ops.aten._foreach_div.overloads()\n"
    "except Exception:\n    HAS = False\nassert HAS is False",
    "a text of a class": "class Table:\n    def __str__(self):\n        return 'table'",
    "fourier": "x = torch.fft.fftn(torch.ones(4, 4), norm='ortho')\n"
    "y = torch.fft.ifftn(x, s=(4, 4), norm='ortho').real\n"
    "assert y.allclose(torch.ones(4, 4))\n"
    "assert torch.fft.fftshift(torch.fft.rfftfreq(8)).shape == (5,)",
}


@pytest.mark.parametrize("name", TOPS)
def test_an_older_idiom_at_the_top_is_accepted(name):
    source = rule("p.add_(p.grad, alpha=-0.1)", top=TOPS[name])
    parameter = one_parameter()

    load(source)([parameter]).step()

    assert torch.equal(torch.full((3, 2), 0.9), parameter.detach())


NEW = {
    "nothing": ("p.new()", torch.zeros(0)),
    "sizes": ("p.new(2, 3)", torch.zeros(2, 3)),
    "a shape": ("p.new(p.shape)", torch.zeros(3, 2)),
    "values": ("p.new([1.0, 2.0])", torch.tensor([1.0, 2.0])),
    "as another": ("p.grad.new().resize_as_(p).zero_()", torch.zeros(3, 2)),
    "of sizes afterwards": ("p.grad.new().resize_(2, 3).fill_(0)", torch.zeros(2, 3)),
    "of a shape afterwards": ("p.new().resize_(p.shape)", torch.zeros(3, 2)),
    "by a name": (
        "(lambda constructor: constructor().resize_as_(p))(p.new)",
        torch.zeros(3, 2),
    ),
}


@pytest.mark.parametrize("name", NEW)
def test_new_makes_zeros_and_never_memory_that_was_not_written(name):
    made, expected = NEW[name]
    parameter = one_parameter()
    optimizer = load(rule(f"self.state[p]['held'] = {made}"))([parameter])

    optimizer.step()

    assert torch.equal(expected, optimizer.state[parameter]["held"])


LARGE = {
    "new": "p.new(1 << 15, 1 << 15)",
    "new, by a shape": "p.new(torch.Size([1 << 15, 1 << 15]))",
    "new, resized": "p.new().resize_(1 << 15, 1 << 15)",
    "fft": "torch.fft.fft(p, n=1 << 30)",
    "fft along a dimension": "torch.fft.rfft(p, 1 << 28, 1)",
    "irfft": "torch.fft.irfft(p, n=1 << 30)",
    "fft2": "torch.fft.fft2(p, s=(1 << 15, 1 << 15))",
    "fftn": "torch.fft.fftn(p, (1 << 15, 1 << 15))",
    "irfftn over dimensions": "torch.fft.irfftn(p, s=[1 << 29], dim=[0])",
    "frequencies": "torch.fft.fftfreq(1 << 30)",
}


@pytest.mark.parametrize("name", LARGE)
def test_no_older_idiom_makes_more_than_a_rule_may_ask_for(name):
    size = LARGE[name].replace("1 << ", "one << ")  # nothing the reader could add up
    optimizer = load(rule(f"one = self.t + 1\n{size}"))([one_parameter()])

    with pytest.raises(ValueError, match="elements"):
        optimizer.step()


@pytest.mark.parametrize("made", ["p.new(p)", "p.new(p, p, 3)", "p.new('x')"])
def test_new_takes_sizes_and_values_only(made):
    optimizer = load(rule(made))([one_parameter()])

    with pytest.raises((TypeError, ValueError)):
        optimizer.step()


def test_what_is_built_on_a_class_that_is_left_out_goes_with_it():
    end = (
        "class Base:\n    def f(self):\n        return self.__dict__\n"
        "class Schedule(Base):\n    pass\n"
        "def use():\n    return Schedule()\n"
    )

    report = check(rule("p.add_(p.grad, alpha=-0.5)") + end)

    assert report.ok
    assert 3 == len([note for note in report.notes if note.rule == "left out"])
    load(rule("p.add_(p.grad, alpha=-0.5)") + end)([one_parameter()]).step()


DEMANDED = {
    "rate": ("params, lr", "lr=lr"),
    "rate and decay": ("params, lr, weight_decay, nesterov=False", "lr=lr"),
    "by name only": ("params, *, lr, betas, eps", "lr=lr"),
    "kinds of momentum": ("params, lr, dampening, nesterov, maximize", "lr=lr"),
    "how far to look": ("params, lr, rho, alpha, k, wd", "lr=lr"),
}


@pytest.mark.parametrize("name", DEMANDED)
def test_usual_values_are_given_where_a_constructor_demands_them(name):
    arguments, options = DEMANDED[name]
    source = (
        "import torch\nclass Rule(torch.optim.SGD):\n"
        f"    def __init__(self, {arguments}):\n"
        f"        super().__init__(params, {options})\n"
    )
    parameter = one_parameter()

    report = check(source)
    load(source)([parameter]).step()

    assert {"default"} == {note.rule for note in report.notes}
    assert all(
        note.message.startswith(note.instead[6:].split("=")[0]) for note in report.notes
    )
    assert torch.equal(torch.full((3, 2), 1 - 1e-3), parameter.detach())


AROUND = """
import torch
class Around(torch.optim.Optimizer):
    def __init__(self, params, base_optimizer, rho=0.05, **options):
        super().__init__(params, dict(rho=rho, **options))
        self.base_optimizer = base_optimizer(self.param_groups, **options)
        self.param_groups = self.base_optimizer.param_groups
        self.defaults.update(self.base_optimizer.defaults)
    @torch.no_grad()
    def step(self, closure=None):
        closure = torch.enable_grad()(closure)
        old = []
        for group in self.param_groups:
            for p in group["params"]:
                old.append((p, p.clone()))
                p.add_(p.grad, alpha=group["rho"])
        loss = closure()
        for p, before in old:
            p.copy_(before)
        self.base_optimizer.step()
        return loss
    def load_state_dict(self, state_dict):
        super().load_state_dict(state_dict)
        self.base_optimizer.param_groups = self.param_groups
"""


def test_a_rule_around_another_optimizer_steps_as_it_does_in_torch():
    space = {}
    exec(AROUND, space)
    weights = []

    for build in (load(AROUND), lambda p: space["Around"](p, torch.optim.SGD)):
        parameter = torch.nn.Parameter(torch.tensor([1.0, -2.0]))
        optimizer = build([parameter])

        def closure(parameter=parameter, optimizer=optimizer):
            optimizer.zero_grad()
            loss = (parameter**2).sum()
            loss.backward()
            return loss

        for _ in range(3):
            closure()
            optimizer.step(closure)
        weights.append(parameter.detach())

    assert torch.equal(*weights)
    [note] = check(AROUND).notes
    assert "base_optimizer has no default; torch.optim.SGD is taken" in note.message


@pytest.mark.parametrize(
    "line",
    [
        "self.param_groups = self.other.param_groups",
        "self.other.param_groups = self.param_groups",
        "self.helper.param_groups = self.helper.param_groups",
    ],
)
def test_no_other_groups_are_put_in_place_of_a_rules_own(line):
    made = "self.other = torch.optim.SGD([torch.zeros(1)])\nself.helper = Helper()\n"
    source = rule(
        made + line,
        top="class Helper:\n    def __init__(self):\n        self.groups = []",
    )
    optimizer = load(source)([one_parameter()])

    with pytest.raises((TypeError, AttributeError)):
        optimizer.step()


def test_the_helpers_of_older_idioms_are_none_of_torchs():
    for path in ("torch._dynamo.disable", "torch.cuda.is_available"):
        assert facade.PATHS[path].__module__.startswith("dux_sandbox"), path
    assert "torch.cuda.memory" not in facade.PATHS


def test_a_tensor_that_nobody_holds_takes_the_shape_of_its_result():
    parameter = one_parameter()
    source = rule(
        "both = torch.stack([p.grad, p.grad * 2])\n"
        "torch.max(both, 0, keepdim=False, out=(p, p.new().long()))"
    )

    load(source)([parameter]).step()

    assert torch.equal(torch.full((3, 2), 2.0), parameter.detach())


@pytest.mark.parametrize("place", ["index", "self.index"])
def test_one_that_is_held_keeps_its_shape_and_must_fit(place):
    source = rule(f"{place} = p.new().long()\ntorch.max(p, 0, out=(p[0], {place}))")

    with pytest.raises(TypeError, match="it must be the same"):
        load(source)([one_parameter()]).step()


@pytest.mark.parametrize(
    "asked",
    [
        "isinstance({}, typing.Dict) and not isinstance([], typing.Dict)",
        "isinstance([], typing.List) and isinstance((), typing.Tuple)",
        "isinstance(len, typing.Callable) and isinstance([], typing.Sequence)",
        "isinstance(iter([]), typing.Iterator) and isinstance({}, typing.Mapping)",
        "isinstance(typing.OrderedDict(), typing.OrderedDict)",
    ],
)
def test_the_containers_of_typing_are_asked_for_as_classes(asked):
    load(rule(f"assert {asked}", top="import typing"))([one_parameter()]).step()


WRAPS = '''
from collections import defaultdict
import torch
from torch.optim import Optimizer
class Lookahead(Optimizer):
    __version__ = "1"
    def __init__(self, optimizer, k=2, alpha=0.5):
        """Wraps."""
        self.optimizer = optimizer
        self.k = k
        self.alpha = alpha
        self.param_groups = self.optimizer.param_groups
        self.defaults = self.optimizer.defaults
        self.state = defaultdict(dict)
        self.fast_state = self.optimizer.state
        for group in self.param_groups:
            group["counter"] = 0
    def __getstate__(self):
        return {"state": self.state, "k": self.k}
    def step(self, closure=None):
        loss = self.optimizer.step(closure)
        for group in self.param_groups:
            for fast in group["params"]:
                s = self.state[fast]
                if "slow" not in s:
                    s["slow"] = torch.zeros_like(fast.data)
                    s["slow"].copy_(fast.data)
                if group["counter"] == self.k - 1:
                    s["slow"] += (fast.data - s["slow"]) * self.alpha
                    fast.data.copy_(s["slow"])
            group["counter"] = (group["counter"] + 1) % self.k
        return loss
'''


def test_a_rule_that_is_handed_an_optimizer_wraps_one_over_its_parameters():
    space = {}
    exec(WRAPS, space)
    weights = []

    for build in (load(WRAPS), lambda p: space["Lookahead"](torch.optim.SGD(p))):
        parameter = torch.nn.Parameter(torch.tensor([1.0, -2.0]))
        optimizer = build([parameter])
        for step in range(5):
            parameter.grad = torch.tensor([1.0, 2.0]) * (step + 1)
            optimizer.step()
        weights.append(parameter.detach())

    assert torch.equal(*weights)
    [note] = check(WRAPS).notes
    assert "torch.optim.SGD over the parameters is taken" in note.message


@both
def test_a_schedule_reaches_the_optimizer_that_is_wrapped(execution):
    model = models.make("mlp")
    with agent_over(model, WRAPS, execution=execution) as agent:
        run(agent, 2)
        assert "applied" == agent.decide().verdict
        for group in agent.optimizer.param_groups:
            group["lr"] = 0.0
        run(agent, 1)  # a first step sets the slow weights
        before = [p.detach().clone() for p in model.parameters()]
        run(agent, 2)

    assert all(map(torch.equal, before, model.parameters()))


def test_a_script_about_it_hands_it_an_optimizer():
    source = WRAPS.replace(
        "loss = self",
        "self.param_groups[0]['params'][0].grad *= 2\n        loss = self",
    )
    [result] = [
        each
        for each in check_laws(load(source), examples=0, source=source)
        if each.name == "gradients"
    ]

    assert "Lookahead(torch.optim.SGD(params))" in result.example
    with pytest.raises(AssertionError, match="changed a gradient"):
        exec(result.example, {})


@pytest.mark.parametrize(
    "init",
    [
        "self.state = open",
        "self.param_groups = []",
        "self.param_groups = torch.optim.SGD([torch.ones(1)]).param_groups",
        "self.optimizer = optimizer\n        self.optimizer.step = len",
    ],
)
def test_wrapping_is_no_way_to_other_groups(init):
    source = WRAPS.replace(
        "self.optimizer = optimizer\n",
        f"{init}\n        self.optimizer = optimizer\n",
        1,
    )
    if "open" in init:
        assert "open" not in str(load(source)([one_parameter()]).state)
        return

    with pytest.raises((SourceRejected, TypeError, AttributeError)):
        load(source)([one_parameter()])


LOADS = """    def state_dict(self):
        return {"inner": self.optimizer.state_dict()}
    def load_state_dict(self, state_dict):
        self.optimizer.load_state_dict(state_dict["inner"])
        self.param_groups = self.optimizer.param_groups
"""


def test_a_wrapper_takes_the_groups_that_the_optimizer_inside_has_loaded():
    source = WRAPS + LOADS
    one, other = one_parameter(), one_parameter()
    first, second = load(source)([one]), load(source)([other])
    first.param_groups[0]["lr"] = 0.5

    second.load_state_dict(first.state_dict())
    other.grad = torch.ones(3, 2)
    second.step()

    assert 0.5 == second.param_groups[0]["lr"]
    assert torch.equal(torch.full((3, 2), 0.5), other.detach())


def test_a_wrapper_loads_no_groups_of_other_parameters():
    strange = LOADS.replace(
        "self.param_groups = self.optimizer.param_groups",
        "other = torch.optim.SGD([torch.ones(3, 2)])\n"
        "        self.param_groups = other.param_groups",
    )
    optimizer = load(WRAPS + strange)([one_parameter()])

    with pytest.raises(TypeError, match="may not become others"):
        optimizer.load_state_dict(optimizer.state_dict())


@pytest.mark.parametrize(
    "line",
    [
        "p.resize_(2)",
        "p.new(1).resize_(2)",
        "p.new().resize_()",
        "p.new().resize_(*[2])",
        "p.new().resize_(2, memory_format=torch.contiguous_format)",
    ],
)
def test_nothing_else_is_resized(line):
    assert not check(rule(line)).ok
