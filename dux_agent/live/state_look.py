"""The state of a rule that runs in another process, to look at and to write to.

What is handed out are copies, for as long as no step is taken: what was written into
them by then goes to the rule before its next step. After the step they refuse to be
written to, since nobody would ever see it.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any

import torch

from dux_sandbox.running import ParamGroups, RuleState, parameters_of
from dux_sandbox.values import ValueRefused, encode


class _Moment:
    """How long copies are good for."""

    def __init__(self) -> None:
        self.over = False

    def require(self) -> None:
        """Raise RuntimeError when a step was taken since."""
        if self.over:
            raise RuntimeError(
                "this is a copy of the rule's state, from the process that the rule "
                "runs in, and it is out of date: the rule has stepped, or was saved; "
                "writing into it would change nothing; look up optimizer.state anew."
            )


def _guarded(name: str) -> Callable[..., Any]:
    def call(self: Any, *arguments: Any, **options: Any) -> Any:
        self.moment.require()
        return getattr(super(type(self), self), name)(*arguments, **options)

    call.__name__ = name
    return call


_WRITES = "__setitem__ __delitem__ __ior__ clear pop popitem setdefault update".split()


_ANY_TIME = _Moment()  # of a copy of a copy


class StateOfParameter(dict[str, Any]):
    """What a rule keeps of one parameter."""

    moment = _ANY_TIME

    def __reduce__(self) -> Any:
        return dict, (dict(self),)


class StateOfRule(defaultdict[Any, Any]):
    """What a rule keeps, by parameter."""

    moment = _ANY_TIME

    def __missing__(self, parameter: Any) -> dict[str, Any]:
        entry = StateOfParameter()
        entry.moment = self.moment
        dict.__setitem__(self, parameter, entry)
        return entry

    def __reduce__(self) -> Any:
        return defaultdict, (dict, dict(self))


for _kind in (StateOfParameter, StateOfRule):
    for _name in _WRITES:
        setattr(_kind, _name, _guarded(_name))


class StateLook:
    """Hands out copies of one rule's state, and takes back what was written.

    Attributes:
        handed_out: the copies that are in somebody's hands; None: there are none.
    """

    def __init__(self) -> None:
        self._rule: Any = None
        self.handed_out: StateOfRule | None = None

    def at(self, rule: Any, learned: RuleState, groups: ParamGroups) -> StateOfRule:
        """The copies of now; the same ones until they are taken back."""
        if self.handed_out is None or self._rule is not rule:
            parameters = parameters_of(groups)
            copies, moment = StateOfRule(dict), _Moment()
            copies.moment = moment
            for index, entry in learned.state.items():
                copy = StateOfParameter(entry)
                copy.moment = moment
                dict.__setitem__(copies, parameters[index], copy)
            self._rule, self.handed_out = rule, copies
        return self.handed_out

    def holds(self, rule: Any) -> bool:
        """Whether copies of this rule's state are in somebody's hands."""
        return self.handed_out is not None and self._rule is rule

    def taken_back(self) -> Mapping[Any, Any]:
        """What was handed out, as it is now; its time is over."""
        copies, self.handed_out, self._rule = self.handed_out, None, None
        if copies is None:
            return {}
        copies.moment.over = True
        return copies


def by_index(state: Any, groups: ParamGroups) -> dict[int, dict[str, Any]]:
    """A state by parameter as a rule takes it, checked.

    Raises:
        TypeError: it is no mapping of mappings.
        ValueError: it is of another parameter, or holds what a rule may not keep.
    """
    if not isinstance(state, Mapping):
        raise TypeError(
            f"optimizer.state was given a {type(state).__name__}; a dict by parameter "
            f"was wanted; pass collections.defaultdict(dict) for an empty one."
        )
    place = {id(each): index for index, each in enumerate(parameters_of(groups))}
    found: dict[int, dict[str, Any]] = {}
    for parameter, entry in state.items():
        index = place.get(id(parameter))
        if index is None or not isinstance(entry, Mapping):
            raise ValueError(
                f"optimizer.state was given a {type(entry).__name__} for "
                f"{_named(parameter, index)}; a dict for one of the optimizer's own "
                f"parameters was wanted while a generated rule is live."
            )
        try:
            encode(dict(entry), None)
        except ValueRefused as error:
            raise ValueError(
                f"optimizer.state of parameter {index} cannot be what it was given: "
                f"{error}; numbers, strings, tensors, and lists and dicts of them were "
                f"wanted while a generated rule is live."
            ) from None
        if entry:
            found[index] = dict(entry)
    return found


def _named(parameter: Any, index: int | None) -> str:
    if index is not None:
        return f"parameter {index}"
    if isinstance(parameter, torch.Tensor):
        return f"a tensor of shape {tuple(parameter.shape)} that it does not step"
    return f"the key {parameter!r:.60}"


def same_state(one: Mapping[int, Any], other: Mapping[int, Any]) -> bool:
    """Whether two states hold the same; an empty entry is none."""
    return _same(
        {index: dict(entry) for index, entry in one.items() if entry},
        {index: dict(entry) for index, entry in other.items() if entry},
    )


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor) or isinstance(other, torch.Tensor):
        return (
            isinstance(one, torch.Tensor)
            and isinstance(other, torch.Tensor)
            and (one.dtype, one.shape) == (other.dtype, other.shape)
            # Lightning moves optimizer.state to the CPU at the end of a training.
            and torch.equal(one.to(other.device), other)
        )
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(
            _same(value, other[name]) for name, value in one.items()
        )
    if type(one) is not type(other):
        return False
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(_same, one, other))
    return bool(one == other)
