"""`load`: from a source to its guarded class."""

import inspect
from contextlib import suppress
from types import CodeType
from typing import Any, cast
from weakref import WeakKeyDictionary

import torch

from dux_sandbox.closures import place_of_closure
from dux_sandbox.faults import is_the_rules, turns_used_up, used_up_its_turns
from dux_sandbox.findings import CheckReport, Finding, RuleFailed, SourceRejected
from dux_sandbox.language.declared_sensors import PLAUSIBLE
from dux_sandbox.runtime.attributes import attributes_of as attributes_of
from dux_sandbox.runtime.attributes import restore_attributes as restore_attributes
from dux_sandbox.runtime.guards import Guards
from dux_sandbox.runtime.namespaces import NAMESPACES
from dux_sandbox.runtime.text import plain
from dux_sandbox.static_check import judge

__all__ = ["attributes_of", "build_over", "load", "restore_attributes"]

_SUSPENDS = inspect.CO_GENERATOR | inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR

# The namespaces of sources of which nothing can be left suspended are not in here.
_suspending: WeakKeyDictionary[type[torch.optim.Optimizer], bool] = WeakKeyDictionary()


def load(source: str, *, guards: Guards | None = None) -> type[torch.optim.Optimizer]:
    """The guarded class of a source.

    The class has, beside what the source gives it, `dux_source`, `dux_digest`,
    `dux_closure` (where its step takes a closure), `dux_sensors`, `carry`,
    `bfloat16_state` (see `half_state`) and `requires_closure`. A step whose closure has
    no default requires one, and so does one that raises at once without.

    Args:
        guards: the guards it runs under; fresh ones by default.

    Raises:
        SourceRejected: the source breaks the policy or the contract, or raises while
            its classes are made; `.report` says where.

    >>> rule = load('''
    ... import torch
    ... class Plain(torch.optim.SGD):
    ...     carry = True
    ... ''')
    >>> rule.__name__, rule.carry, rule.requires_closure
    ('Plain', True, False)
    """
    judgement = judge(source)
    report = judgement.report
    if not report.ok or judgement.code is None or judgement.rule is None:
        raise SourceRejected(report)
    guards = Guards() if guards is None else guards
    namespace = guards.globals()
    guards.context.fresh_budget()
    try:
        exec(judgement.code, namespace)
    # The wall round generated code: whatever it raises is a finding.
    except BaseException as error:
        if not is_the_rules(error):
            raise
        raise SourceRejected(_raised(report, error)) from None
    rule: Any = namespace.get(judgement.rule)
    # The name may have been bound again to anything, by now.
    made = isinstance(rule, type) and rule in guards.context.classes
    if not made or not issubclass(rule, torch.optim.Optimizer):
        raise SourceRejected(_replaced(report, judgement.rule))
    rule.dux_source, rule.dux_digest = source, report.digest
    NAMESPACES[rule] = namespace
    _suspending[rule] = _suspends(judgement.code)
    for name in ("carry", "bfloat16_state", "requires_closure"):
        setattr(rule, name, getattr(rule, name, False) is True)
    _begin_with(rule, judgement.sensors)
    rule.dux_closure, demanded = place_of_closure(rule)
    asked = demanded or judgement.asks_closure
    rule.requires_closure = rule.requires_closure or asked
    return cast("type[torch.optim.Optimizer]", rule)


def _begin_with(rule: Any, sensors: tuple[str, ...]) -> None:
    """Have each group of a rule hold its sensors from the beginning.

    Where nobody tells them, as where the laws are tried, they stay what they are then.
    """
    rule.dux_sensors = sensors
    if not sensors:
        return
    add = rule.add_param_group

    def add_param_group(self: Any, param_group: dict[str, Any]) -> None:
        if isinstance(param_group, dict):
            param_group = {**{n: PLAUSIBLE[n] for n in sensors}, **param_group}
        add(self, param_group)

    rule.add_param_group = add_param_group


def build_over(
    rule: type[torch.optim.Optimizer], groups: list[dict[str, Any]]
) -> torch.optim.Optimizer:
    """A rule of a class that `load` gave, over groups that hold parameters alone.

    Where there is one group the rule is given its tensors, as `model.parameters()` has
    them: a constructor may clone, count or keep them. One that raises on those is given
    the group.

    Raises:
        RuleFailed: it made other groups of them.
        Whatever the constructor raises of groups.
    """
    made = _built(rule, groups)
    if len(made.param_groups) != len(groups):
        raise RuleFailed(
            Finding(
                "init",
                None,
                f"it makes {len(made.param_groups)} groups of the {len(groups)} that "
                f"it is given, which are the training's",
                "call super().__init__(params, defaults) with params as they came, and "
                "tell matrices by p.ndim in step",
            )
        )
    return made


def _built(
    rule: type[torch.optim.Optimizer], groups: list[dict[str, Any]]
) -> torch.optim.Optimizer:
    random = torch.get_rng_state()
    make: Any = rule
    if len(groups) == 1:
        # Generated code: what it raises on groups as well comes out there.
        with suppress(Exception):
            return cast("torch.optim.Optimizer", make(list(groups[0]["params"])))
        torch.set_rng_state(random)
    return cast("torch.optim.Optimizer", make(groups))


def namespace_of(rule: type[torch.optim.Optimizer]) -> dict[str, Any]:
    """The globals of the source that `load` made this class of; no source sees them."""
    return NAMESPACES[rule]


def may_suspend(rule: type[torch.optim.Optimizer]) -> bool:
    """Whether the source has a generator or the like, that could be left half run."""
    return _suspending[rule]


def _suspends(code: CodeType) -> bool:
    return bool(code.co_flags & _SUSPENDS) or any(
        _suspends(inside) for inside in code.co_consts if isinstance(inside, CodeType)
    )


def line_of(error: BaseException, digest: str) -> int | None:
    """The line of the source at which `error` was raised, or None."""
    line, trace = None, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == f"<rule {digest[:12]}>":
            line = trace.tb_lineno
        trace = trace.tb_next
    return line


def _raised(report: CheckReport, error: BaseException) -> CheckReport:
    line = line_of(error, report.digest)
    name = type(error).__name__
    message = f"{name} while the classes are made: {plain(error)[:300]}"
    finding = Finding("load", line, message, "mend the line, or leave it out")
    if used_up_its_turns(error):
        finding = turns_used_up(line)
    return CheckReport(False, report.digest, (finding,))


def _replaced(report: CheckReport, name: str) -> CheckReport:
    finding = Finding(
        "contract",
        None,
        f"the name {name} is no longer the class when the source has run",
        "bind the name of the class only once",
    )
    return CheckReport(False, report.digest, (finding,))
