"""Random numbers: each draw takes the state of a generator, and gives the next one.

A state is what torch's generator on the CPU says of itself: 5056 bytes. So a program
stays a function of what it reads, and a step that is repeated draws the same again.
"""

import threading
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import torch

from dux_sandbox.generator_states import generator_in
from dux_sandbox.recorded.program import TensorType
from dux_sandbox.recorded.rows import Row

STATE = TensorType("uint8", (5056,))
"""The type of a generator's state."""

_KINDS: Mapping[str, tuple[Callable[..., Any], tuple[int, ...]]] = MappingProxyType(
    {
        "normal": (torch.Tensor.normal_, (2,)),
        "uniform": (torch.Tensor.uniform_, (2,)),
        "bernoulli": (torch.Tensor.bernoulli_, (1,)),
        "exponential": (torch.Tensor.exponential_, (1,)),
        "cauchy": (torch.Tensor.cauchy_, (2,)),
        "log_normal": (torch.Tensor.log_normal_, (2,)),
        "geometric": (torch.Tensor.geometric_, (1,)),
        "random": (torch.Tensor.random_, (0, 2)),
    }
)
"""By name, what fills a tensor, and how many numbers it may be given."""
KINDS = frozenset(_KINDS)


def drawing() -> dict[str, Row]:
    """The rows of this kind, by name; they are made of no tensor but a state."""
    made = {"size": "ints", "dtype": "dtype"}
    return {
        "seeded": Row("", "making", _seeded, {"seed": "seed"}),
        "seeded_by": Row("N", "making", _seeded_by),
        "drawn": Row("TNN", "making", _drawn, {"kind": "text", **made}, optional=2),
        "permuted": Row("T", "making", _permuted, {"n": "int", "dtype": "dtype"}),
        "chosen": Row("TT", "making", _chosen),
    }


def _on_meta(device: Any) -> bool:
    return device is not None and torch.device(device).type == "meta"


def _seeded(*, seed: int, device: Any = None) -> Any:
    if _on_meta(device):
        return torch.empty(STATE.shape, dtype=torch.uint8, device="meta")
    return torch.Generator().manual_seed(seed).get_state()


def _seeded_by(seed: Any, *, device: Any = None) -> Any:
    return _seeded(seed=int(seed), device=device)


def _generator(state: torch.Tensor) -> torch.Generator | None:
    """The generator in a state; None for a state without values."""
    if state.dtype is not torch.uint8 or tuple(state.shape) != STATE.shape:
        raise TypeError("no state of a generator")
    if state.is_meta:
        return None
    return _LAST.generator_in(state) or generator_in(state.cpu())


class _Last(threading.local):
    """The generator that has drawn last in this thread, for who draws on from there.

    One that is put into a state is judged first, which takes ten times as long as a
    draw of a few numbers.
    """

    def __init__(self) -> None:
        self._state: torch.Tensor | None = None
        self._version = 0
        self._generator: torch.Generator | None = None

    def generator_in(self, state: torch.Tensor) -> torch.Generator | None:
        """The one whose state this very tensor is, unless somebody wrote to it."""
        if state is not self._state or state._version != self._version:
            return None
        self._state = None  # a second draw from there is another generator's
        return self._generator

    def state_of(self, generator: torch.Generator) -> torch.Tensor:
        """The state that a generator is in now."""
        state = generator.get_state()
        if not state.is_inference():  # torch counts no writes to these
            self._state, self._version = state, state._version
            self._generator = generator
        return state


_LAST = _Last()


def _drawn(
    state: Any, *numbers: Any, kind: str, size: list[int], dtype: Any, device: Any
) -> Any:
    if kind not in _KINDS:
        raise TypeError(f"no numbers of the kind {kind}")
    fill, counts = _KINDS[kind]
    if len(numbers) not in counts:
        raise TypeError(f"{len(numbers)} numbers for the kind {kind}")
    generator = _generator(state)
    if generator is None:
        return torch.empty(size, dtype=dtype, device="meta"), torch.empty_like(state)
    given = [int(each) for each in numbers] if kind == "random" else numbers
    made = fill(torch.empty(size, dtype=dtype), *given, generator=generator)
    return made.to(device), _LAST.state_of(generator)


def _permuted(state: Any, *, n: int, dtype: Any, device: Any) -> Any:
    generator = _generator(state)
    if generator is None:
        return torch.empty(n, dtype=dtype, device="meta"), torch.empty_like(state)
    made = torch.randperm(n, generator=generator, dtype=dtype)
    return made.to(device), _LAST.state_of(generator)


def _chosen(state: Any, chances: Any, *, device: Any) -> Any:
    """Ones with these chances, and zeros."""
    generator = _generator(state)
    if generator is None:
        return torch.empty_like(chances), torch.empty_like(state)
    made = torch.bernoulli(chances.cpu(), generator=generator)
    return made.to(device), _LAST.state_of(generator)
