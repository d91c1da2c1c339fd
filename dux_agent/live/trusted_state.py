"""What a torch optimizer has learned, to be put back: its state, its own attributes.

Some optimizers hold another one (SAM, Lookahead), and many keep counts on themselves:
`state_dict` leaves both out.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from dux_agent.live.snapshot import clone
from dux_sandbox.stock_state import check_loaded

# Of torch's own making, and nothing that a step teaches.
_NOT_LEARNED = {"state", "param_groups", "defaults", "step", "_opt_called"}
_SCALARS = (bool, int, float, complex, str, bytes, type(None))


@dataclass(frozen=True)
class _Kept:
    """A tensor's value, and the device where it belongs."""

    value: torch.Tensor
    device: torch.device


@dataclass(frozen=True)
class _Learned:
    """Of one optimizer: entries of its state by key, and plain attributes."""

    state: list[tuple[Any, Any]]
    attributes: dict[str, Any]


class TrustedState:
    """What one torch optimizer, and those inside it, had learned at a moment.

    >>> weight = torch.nn.Parameter(torch.ones(1))
    >>> optimizer = torch.optim.SGD([weight], lr=0.5, momentum=0.9)
    >>> weight.grad = torch.ones(1)
    >>> optimizer.step()
    >>> learned = TrustedState.take(optimizer)
    >>> optimizer.step()
    >>> learned.restore(optimizer)
    >>> float(optimizer.state[weight]["momentum_buffer"])
    1.0
    """

    def __init__(self, learned: list[_Learned]) -> None:
        self._learned = learned

    @classmethod
    def take(
        cls, optimizer: torch.optim.Optimizer, *, host: bool = False
    ) -> TrustedState:
        """Copy it now; into the memory of the CPU where `host`."""
        learned = []
        for each in _within(optimizer):
            state = [(key, _copied(entry, host)) for key, entry in each.state.items()]
            attributes = {
                name: _copied(value, host)
                for name, value in vars(each).items()
                if _is_learned(name, value)
            }
            learned.append(_Learned(state, attributes))
        return cls(learned)

    def restore(self, optimizer: torch.optim.Optimizer) -> None:
        """Put it back, into the very optimizers it was taken of."""
        for each, learned in zip(_within(optimizer), self._learned, strict=False):
            each.state.clear()
            for key, entry in learned.state:
                each.state[key] = _given_back(entry)
            for name, value in learned.attributes.items():
                setattr(each, name, _given_back(value))

    def require_fit(self, optimizer: torch.optim.Optimizer) -> None:
        """Raise ValueError where a step of `optimizer` would end on what is put back.

        It may be anybody's: an attribute of it hides no method, and what torch's own
        kernels take on trust is looked at.
        """
        for each, learned in zip(_within(optimizer), self._learned, strict=False):
            check_loaded(each, ((key, _plain(entry)) for key, entry in learned.state))
            for name, value in learned.attributes.items():
                known = getattr(type(each), name, None)
                hides = callable(known) or hasattr(type(known), "__set__")
                if (
                    name.startswith("__")
                    or hides
                    or not _is_learned(name, _plain(value))
                ):
                    raise ValueError(f"no step teaches an optimizer its {name!r}")

    def finite(self) -> bool:
        """Whether every floating tensor in it is."""
        for learned in self._learned:
            for kept in _tensors(
                [learned.attributes, *(entry for _, entry in learned.state)]
            ):
                value = kept.value
                if value.is_floating_point() and not bool(value.isfinite().all()):
                    return False
        return True

    def state_dict(self, parameters: list[torch.Tensor]) -> list[dict[str, Any]] | None:
        """Plain data and tensors, parameters by their index; None where it is not."""
        index_of = {id(each): index for index, each in enumerate(parameters)}
        packed = []
        for each in self._learned:
            entries = []
            for key, entry in each.state:
                place = index_of.get(id(key)) if isinstance(key, torch.Tensor) else key
                entries.append([isinstance(key, torch.Tensor), place, _plain(entry)])
            attributes = {name: _plain(one) for name, one in each.attributes.items()}
            packed.append({"state": entries, "attributes": attributes})
        return None if _foreign(packed) else packed

    @classmethod
    def of(
        cls,
        packed: Iterable[Mapping[str, Any]],
        parameters: list[torch.Tensor],
        *,
        host: bool = False,
    ) -> TrustedState:
        """What `state_dict` gave, for the same parameters in this process."""
        learned = []
        for each in packed:
            state = []
            for by_index, place, entry in each["state"]:
                key = parameters[place] if by_index else place
                device = key.device if by_index else torch.device("cpu")
                state.append((key, _kept(entry, device, host)))
            attributes = _kept(each["attributes"], torch.device("cpu"), host)
            learned.append(_Learned(state, attributes))
        return cls(learned)


def _within(optimizer: torch.optim.Optimizer) -> Iterator[torch.optim.Optimizer]:
    """The optimizer, and every one that it or an inner one holds; each once."""
    seen: set[int] = set()
    waiting = [optimizer]
    while waiting:
        each = waiting.pop(0)
        if id(each) in seen:
            continue
        seen.add(id(each))
        yield each
        waiting += [
            value
            for value in vars(each).values()
            if isinstance(value, torch.optim.Optimizer)
        ]


def _is_learned(name: str, value: Any) -> bool:
    if name in _NOT_LEARNED or name.startswith("_optimizer_"):
        return False
    if isinstance(value, torch.nn.Parameter):
        return False
    if isinstance(value, (torch.Tensor, *_SCALARS)):
        return True
    if type(value) is dict:
        return all(_is_learned("", item) for item in value.values())
    if type(value) in (list, tuple, deque):
        return all(_is_learned("", item) for item in value)
    return False


def _copied(value: Any, host: bool) -> Any:
    if isinstance(value, torch.nn.Parameter):
        return value  # a reference to the model's own
    if isinstance(value, torch.Tensor):
        return _Kept(clone(value, host), value.device)
    if isinstance(value, dict):
        return {key: _copied(item, host) for key, item in value.items()}
    if type(value) in (list, tuple, deque):
        return type(value)(_copied(item, host) for item in value)
    return value


def _given_back(value: Any) -> Any:
    if isinstance(value, _Kept):
        return value.value.to(value.device, copy=True)
    if isinstance(value, dict):
        return {key: _given_back(item) for key, item in value.items()}
    if type(value) in (list, tuple, deque):
        return type(value)(_given_back(item) for item in value)
    return value


def _tensors(value: Any) -> Iterator[_Kept]:
    if isinstance(value, _Kept):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _tensors(item)
    elif type(value) in (list, tuple, deque):
        for item in value:
            yield from _tensors(item)


def _plain(value: Any) -> Any:
    """Without `_Kept`; a count that torch keeps on the CPU stays there."""
    if isinstance(value, _Kept):
        return value.value
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if type(value) in (list, tuple):
        return type(value)(_plain(item) for item in value)
    return value


def _kept(value: Any, device: torch.device, host: bool) -> Any:
    if isinstance(value, torch.Tensor):
        # Counters of no dimension stay where torch's own optimizers keep them.
        where = value.device if value.ndim == 0 else device
        return _Kept(value.cpu() if host else value.to(where), where)
    if isinstance(value, dict):
        return {key: _kept(item, device, host) for key, item in value.items()}
    if type(value) in (list, tuple):
        return type(value)(_kept(item, device, host) for item in value)
    return value


def _foreign(value: Any) -> bool:
    """Whether there is anything in it that no checkpoint takes."""
    if type(value) is torch.Tensor or isinstance(value, _SCALARS):
        return False
    if type(value) is dict:
        return any(_foreign(item) for item in (*value.keys(), *value.values()))
    if type(value) in (list, tuple):
        return any(_foreign(item) for item in value)
    return True
