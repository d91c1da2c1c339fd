"""The generators of a rule that is recorded: which state each of them is in.

For the rule's own process. No generator draws anything here. What it was last seeded
with stands for its state: a seed that the rule gave it, or a mark of ours.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from dux_sandbox.recorded.random_operations import STATE
from dux_sandbox.recorded.storages import Storages
from dux_sandbox.recorded.tags import Tags
from dux_sandbox.recorded.tape import Tape

_FIRST_MARK = 1 << 62
# By aten's name: the kind, and the numbers by their names in its schema, or themselves.
FILLING: dict[str, tuple[str, tuple[Any, ...]]] = {
    "normal_": ("normal", ("mean", "std")),
    "uniform_": ("uniform", ("from", "to")),
    "bernoulli_": ("bernoulli", ("p",)),
    "exponential_": ("exponential", ("lambd",)),
    "cauchy_": ("cauchy", ("median", "sigma")),
    "log_normal_": ("log_normal", ("mean", "std")),
    "geometric_": ("geometric", ("p",)),
    "normal": ("normal", ("mean", "std")),
    "randn": ("normal", (0.0, 1.0)),
    "randn_like": ("normal", (0.0, 1.0)),
    "rand": ("uniform", (0.0, 1.0)),
    "rand_like": ("uniform", (0.0, 1.0)),
    "randint": ("random", ("low", "high")),
    "randint_like": ("random", ("low", "high")),
    "random_": ("random", ("from", "to")),
}


class Drawing:
    """The states of all generators of one recording.

    Attributes:
        drawn: whether numbers of the process's own generator were drawn, ever.
    """

    def __init__(self, tape: Tape, storages: Storages, tags: Tags, seed: int) -> None:
        """The process's own generator begins with `seed`."""
        self.drawn = False
        self._tape = tape
        self._storages = storages
        self._tags = tags
        self._states: dict[int, Callable[[], int]] = {}
        self._seed = seed
        tape.seed_generator = self.seeded
        self._own = torch.default_generator

    @contextmanager
    def apart(self) -> Iterator[None]:
        """Inside, the process's own generator stands for one that is the rule's."""
        before = self._own.get_state()
        self._mark(self._own, lambda: self._tape.emit("seeded", (), seed=self._seed))
        try:
            yield
        finally:
            self._own.set_state(before)

    def _mark(self, generator: torch.Generator, state: Callable[[], int]) -> None:
        known: list[int] = []

        def once() -> int:
            if not known:
                known.append(state())
            return known[0]

        mark = _FIRST_MARK + len(self._states)
        self._states[mark] = once
        generator.manual_seed(mark)

    # What is kept between steps

    def go_on(self, state: torch.Tensor) -> None:
        """The process's own generator is in a state that was kept."""
        self.drawn = True
        self._mark(self._own, lambda: self._storages.read(state))

    def revived(self, state: torch.Tensor) -> torch.Generator:
        """A generator in a state that was kept."""
        generator = torch.Generator()
        self._mark(generator, lambda: self._storages.read(state))
        return generator

    def state(self, generator: torch.Generator | None = None) -> torch.Tensor:
        """What there is to keep of a generator; None: of the process's own."""
        made = torch.empty(STATE.shape, dtype=torch.uint8, device="meta")
        self._storages.put(made, self._state(generator or self._own))
        return made

    def _state(self, generator: torch.Generator) -> int:
        seed = generator.initial_seed()
        if seed not in self._states:
            self._mark(generator, lambda: self._tape.emit("seeded", (), seed=seed))
        return self._states[generator.initial_seed()]()

    # What a rule does with them

    def seeded(self, generator: torch.Generator, seed: int) -> None:
        """A generator is seeded with the number that a value is."""
        self._mark(generator, lambda: self._tape.emit("seeded_by", (seed,)))

    def draw(self, name: str, bound: dict[str, Any], made: torch.Tensor) -> int:
        """The value that an operation of aten of this name draws, of `made`'s type."""
        if not made.is_contiguous():
            raise self._tape.refuse("draws into a tensor that is not contiguous")
        generator = bound.get("generator")
        generator = self._own if generator is None else generator
        self.drawn = self.drawn or generator is self._own
        kind = {"size": list(made.shape), "dtype": _name_of(made)}
        if name == "randperm":
            n = {"n": made.shape[0], "dtype": kind["dtype"]}
            return self._drawn(generator, "permuted", (), **n)
        chances = bound.get("p", bound["self"] if name == "bernoulli" else None)
        if isinstance(chances, torch.Tensor):
            return self._drawn(generator, "chosen", (self._storages.read(chances),))
        if name == "normal" and "size" not in bound:
            return self._normal(generator, bound, kind)
        if name not in FILLING:
            raise self._tape.refuse(f"draws random numbers ({name})")
        filling, numbers = FILLING[name]
        given = [bound.get(each) if type(each) is str else each for each in numbers]
        if filling == "random":
            given = [given[0] or 0, given[1]] if given[1] is not None else []
        values = [self._tags.value_of(each) for each in given]
        return self._drawn(generator, "drawn", values, kind=filling, **kind)

    def _normal(self, generator: Any, bound: dict[str, Any], kind: Any) -> int:
        """`torch.normal` of a tensor of means, of deviations, or both."""
        mean, spread = bound["mean"], bound["std"]
        both = isinstance(mean, torch.Tensor), isinstance(spread, torch.Tensor)
        values = [
            self._tags.value_of(each) for each in (0.0, 1.0 if both[1] else spread)
        ]
        made = self._drawn(generator, "drawn", values, kind="normal", **kind)
        if both[1]:
            made = self._tape.emit("mul", (made, self._storages.read(spread)))
        other = self._storages.read(mean) if both[0] else self._tags.value_of(mean)
        return self._tape.emit("add", (made, other))

    def _drawn(
        self, generator: Any, name: str, arguments: Sequence[int], **attributes: Any
    ) -> int:
        state = self._state(generator)
        both = self._tape.emit(name, (state, *arguments), **attributes)
        after = self._tape.emit("part", (both,), index=1)
        self._mark(generator, lambda: after)
        return self._tape.emit("part", (both,), index=0)


def filled_by(name: str, bound: dict[str, Any]) -> torch.Tensor:
    """An empty tensor of the type that an operation of this name draws."""
    like = [bound.get(each) for each in ("self", "mean", "std")]
    tensors = [each for each in like if isinstance(each, torch.Tensor)]
    size = bound.get("size", [bound["n"]] if "n" in bound else None)
    if size is None:
        size = torch.broadcast_shapes(*(each.shape for each in tensors))
    usual = torch.get_default_dtype()
    if tensors:
        usual = tensors[0].dtype
    elif name in ("randint", "randperm"):
        usual = torch.int64
    asked = bound.get("dtype")
    # A schema's default is a number here, and no dtype.
    dtype = asked if isinstance(asked, torch.dtype) else usual
    if len(tensors) == 1:
        return torch.empty_like(tensors[0], dtype=dtype)
    return torch.empty(size, dtype=dtype, device="meta")


def _name_of(tensor: torch.Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")
