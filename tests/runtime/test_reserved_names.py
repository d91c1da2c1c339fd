"""Reserved names are the trainer's alone, and no exception of a rule ends a step."""

from __future__ import annotations

import copy
import signal
from collections.abc import Iterator

import pytest
import torch

from dux_sandbox import RuleFailed, SourceRejected
from dux_sandbox.loading import load
from dux_sandbox.running import InlineRule
from tests import models
from tests.rule_sources import one_parameter
from tests.talking import agent_over, run

HOOKS = (
    "_optimizer_step_pre_hooks",
    "_optimizer_step_post_hooks",
    "_optimizer_state_dict_pre_hooks",
    "_optimizer_load_state_dict_post_hooks",
)
# What a step may try so that a reserved name is written; each ends in an error, or in
# nothing written.
DOORS = {
    "unbound": "Rule.__setstate__(self, {NAME: VALUE})",
    "unbound_of_the_base": "torch.optim.Optimizer.__setstate__(self, {NAME: VALUE})",
    "inner": "Child([p]).again({NAME: VALUE})",
    "of_a_sibling": "Rule.__setstate__(Child([p]), {NAME: VALUE})",
    "load": "self.load_state_dict({NAME: VALUE, 'state': {}, 'param_groups': []})",
    "setattr": "setattr(self, NAME, VALUE)",
    "setattr_on_the_class": "setattr(Rule, NAME, VALUE)",
    "setattr_on_a_mixin": "setattr(Mixin, NAME, VALUE)",
    "through_a_generator": (
        "list(Rule.__setstate__(self, {NAME: VALUE}) for _ in range(1))"
    ),
    "through_partial": "partial(Rule.__setstate__, self)({NAME: VALUE})",
    "through_map": "list(map(Rule.__setstate__, [self], [{NAME: VALUE}]))",
    "of_an_optimizer_inside": (
        "torch.optim.SGD([p], lr=0.1).load_state_dict({NAME: VALUE, 'state': {},"
        " 'param_groups': torch.optim.SGD([p], lr=0.1).state_dict()['param_groups']})"
    ),
}
# A mixin stands before torch's optimizer where another class leads the way to it.
SOURCE = """
import torch
from functools import partial

class Mixin:
    pass

class Before(torch.optim.SGD):
    pass

class Between(Mixin, torch.optim.SGD):
    pass

class Child(Before, Between):
    def __setstate__(self, state):
        super().__setstate__(state)

    def again(self, state):
        Child.__setstate__(self, state)

class Rule(Before, Between):
    def __init__(self, params, lr=0.1):
        super().__init__(params, lr=lr)
        self.t = 0

    def __setstate__(self, state):
        super().__setstate__(state)

    def hook(self, *arguments):
        self.hooked_times = getattr(self, "hooked_times", 0) + 1
        BODY

    @torch.no_grad()
    def step(self, closure=None):
        p = self.param_groups[0]["params"][0]
        self.t += 1
        if self.t == 2:
            DOOR
"""


def attempt(door: str, name: str, value: str, body: str = "pass") -> str:
    """A source whose second step tries one door."""
    step = DOORS[door].replace("NAME", repr(name)).replace("VALUE", value)
    return SOURCE.replace("DOOR", step).replace("BODY", body)


@pytest.mark.parametrize("name", [*HOOKS, "param_groups", "defaults", "state", "step"])
@pytest.mark.parametrize("door", DOORS)
def test_a_step_writes_no_reserved_name(door: str, name: str) -> None:
    optimizer = load(attempt(door, name, "{1: self.hook}"))([one_parameter()])
    before = {key: value for key, value in vars(optimizer).items() if key != "t"}
    kind = {key: getattr(type(optimizer), key) for key in ("step", "add_param_group")}
    optimizer.step()
    hooked = type(optimizer).step

    for _ in range(3):
        try:
            optimizer.step()
        except (TypeError, AttributeError, ValueError, KeyError):
            pass

    after = vars(optimizer)
    assert all(after[key] is value for key, value in before.items())
    assert not any(after[hook] for hook in HOOKS)
    assert not hasattr(optimizer, "hooked_times")
    assert hooked is type(optimizer).step
    assert kind["add_param_group"] is type(optimizer).add_param_group


@pytest.mark.parametrize("door", ["unbound", "inner", "setattr_on_a_mixin"])
@pytest.mark.parametrize("mode", ["inline", "isolated"])
def test_a_hook_that_runs_away_ends_no_training(mode: str, door: str) -> None:
    name = "step" if door == "setattr_on_a_mixin" else HOOKS[0]
    value = "self.hook" if name == "step" else "{1: self.hook}"
    source = attempt(door, name, value, "while self.t > 0: self.t += 1")
    with agent_over(
        models.make("mlp"), source, execution=mode, dry_run_steps=1, max_attempts=1
    ) as agent:
        run(agent, 3)
        agent.decide()

        losses = run(agent, 6)

    assert all(loss == loss for loss in losses)


def with_mixin(body: str) -> str:
    source = attempt("setattr", "x", "1")
    return source.replace("class Mixin:\n    pass", f"class Mixin:\n    {body}")


MIXIN_NAMES = {
    "match": "match {value}:\n        case {name}:\n            pass",
    "setattr": "pass\nsetattr(Mixin, '{name}'[:2] + '{name}'[2:], {value})",
}


@pytest.mark.parametrize("name", ["param_groups", "state", "_optimizer_step_code"])
@pytest.mark.parametrize("value", ["property(lambda self: [])", "print"])
@pytest.mark.parametrize("how", MIXIN_NAMES)
def test_a_mixin_brings_no_reserved_name(how: str, value: str, name: str) -> None:
    body = MIXIN_NAMES[how].format(name=name, value=value)
    source = attempt("setattr", "x", "1").replace(
        "Mixin:\n    pass", f"Mixin:\n    {body}"
    )

    with pytest.raises(SourceRejected, match=name):
        load(source)


@pytest.mark.parametrize("name", ["step", "zero_grad", "state_dict"])
@pytest.mark.parametrize("value", ["property(lambda self: print)", "staticmethod(id)"])
def test_a_mixins_door_is_a_plain_method(value: str, name: str) -> None:
    body = f"pass\nsetattr(Mixin, '{name}', {value})"
    source = attempt("setattr", "x", "1").replace(
        "Mixin:\n    pass", f"Mixin:\n    {body}"
    )

    with pytest.raises(SourceRejected, match="plain method"):
        load(source)


MIXIN = """
class Mixin:
    def step(self, closure=None):
        self.count = getattr(self, "count", 0) + 1
        BODY

class Before(torch.optim.SGD):
    pass

class Between(Mixin, torch.optim.SGD):
    pass

class Last(Before, Between):
    pass
"""


def inherits_its_step(body: str) -> str:
    return "import torch\n" + MIXIN.replace("BODY", body)


def test_an_inherited_step_is_the_one_that_python_finds() -> None:
    optimizer = load(inherits_its_step("return 7"))([one_parameter()])

    assert 7 == optimizer.step()
    assert 1 == optimizer.count  # type: ignore[attr-defined]


def test_a_loop_in_an_inherited_step_runs_out_of_turns() -> None:
    source = inherits_its_step("while self.count:\n            self.count += 1")
    optimizer = load(source)([one_parameter()])

    with pytest.raises(RuntimeError, match="while loops"):
        optimizer.step()


def test_an_inherited_step_is_judged_by_what_it_leaves() -> None:
    source = inherits_its_step("self.param_groups[0]['x'] = print")
    optimizer = load(source)([one_parameter()])

    with pytest.raises(TypeError, match="holds a"):
        optimizer.step()


RESTORED = """
import torch

class Base(torch.optim.SGD):
    def __setstate__(self, state):
        super().__setstate__(state)
        self.base_too = True

class Rule(Base):
    def __setstate__(self, state):
        super().__setstate__(state)
        self.restored = True
"""


def test_what_torch_and_python_restore_still_passes_the_door() -> None:
    optimizer = load(RESTORED)([one_parameter()])

    optimizer.load_state_dict(optimizer.state_dict())
    copied = copy.deepcopy(optimizer)

    for each in (optimizer, copied):
        assert each.restored and each.base_too  # type: ignore[attr-defined]
        assert 1 == len(each.param_groups)


# Exceptions that no source can name: here they are planted, as a hole would bring them.

PLANTED = """
class Rule(torch.optim.SGD):
    dux_digest = "0"
    dux_closure = "positional"

    def step(self, closure=None):
        {statement}
"""


def planted(statement: str, **names: object) -> InlineRule:
    """An inline rule whose step says what no source may."""
    source = PLANTED.format(statement=statement)
    namespace: dict[str, object] = {"torch": torch, "__name__": "rule", **names}
    exec(compile(source, "<rule 0>", "exec"), namespace)
    kind = namespace["Rule"]
    return InlineRule(kind([one_parameter()], lr=0.1), source)  # type: ignore[operator]


@pytest.mark.parametrize(
    "statement",
    [
        "raise KeyboardInterrupt",
        "raise SystemExit(0)",
        "raise GeneratorExit",
        "raise BaseException('x')",
        "raise runaway()",
        "runs_away()",
    ],
)
def test_no_exception_that_a_rule_raises_leaves_its_step(statement: str) -> None:
    from dux_sandbox.runtime.context import Context, Runaway

    context = Context()

    def runs_away() -> None:
        while context.tick():
            pass

    failing = planted(statement, runaway=Runaway, runs_away=runs_away)

    with pytest.raises(RuleFailed):
        failing.step()


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_what_a_signal_raises_inside_a_rule_comes_out(error: type) -> None:
    def interrupt() -> None:
        raise error

    interrupted = planted("interrupt()", interrupt=interrupt)

    with pytest.raises(error):
        interrupted.step()


@pytest.fixture
def heard() -> Iterator[None]:
    """Of an interrupt: a shell has what it runs in the background ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("heard")
def test_a_real_interrupt_inside_a_rule_comes_out() -> None:
    interrupted = planted("raise_signal(SIGINT)", **vars(signal))

    with pytest.raises(KeyboardInterrupt):
        interrupted.step()


@pytest.mark.parametrize(
    "error",
    ["ValueError([[[[1] * 99] * 99] * 99] * 99)", "KeyError({1: [[2] * 999] * 999})"],
)
def test_the_text_of_an_exception_is_cut_before_it_is_made(error: str) -> None:
    failing = planted(f"raise {error}")

    with pytest.raises(RuleFailed) as caught:
        failing.step()

    assert len(caught.value.finding.message) < 400
