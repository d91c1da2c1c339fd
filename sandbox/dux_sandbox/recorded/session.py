"""One recording: the parameters that a rule sees, and what it keeps, before and after.

For the rule's own process.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from dux_sandbox.closures import is_loss
from dux_sandbox.loading import restore_attributes
from dux_sandbox.option_values import as_numbers
from dux_sandbox.recorded.dispatching import Dispatching
from dux_sandbox.recorded.drawing import Drawing
from dux_sandbox.recorded.forking import Forks
from dux_sandbox.recorded.guarding import RecordingGuards, square_root
from dux_sandbox.recorded.intercepting import Intercepting
from dux_sandbox.recorded.laying import KeptOrder
from dux_sandbox.recorded.program import Place, Program, TensorType
from dux_sandbox.recorded.recorded_closure import RecordedClosure
from dux_sandbox.recorded.rows import DTYPES
from dux_sandbox.recorded.storages import Storages
from dux_sandbox.recorded.symbols import SYMBOLS, Symbol, symbol
from dux_sandbox.recorded.tags import Tags
from dux_sandbox.recorded.taking import (
    revived,
    stays_built,
    take_apart,
    without_params,
)
from dux_sandbox.recorded.tape import Tape
from dux_sandbox.recorded.trees import (
    PuttingTogether,
    TakenApart,
    is_leaf,
    leaves_of,
    renumbered,
)
from dux_sandbox.recorded.typing_of import type_of
from dux_sandbox.runtime.attributes import RANDOM
from dux_sandbox.runtime.inner_optimizers import own_names
from dux_sandbox.values import ValueRefused


@dataclass(frozen=True)
class Shown:
    """What is known of one parameter: enough to make one without values."""

    type: TensorType
    strides: tuple[int, ...]
    trainable: bool = True


@dataclass(frozen=True)
class Kept:
    """What a rule keeps when a step begins.

    Attributes:
        skeleton: see `trees`.
        leaves: for each of its leaves the place, the type, and what a number is now.
    """

    skeleton: Any
    leaves: Sequence[tuple[Place, TensorType | str, Any]]


class Session:
    """One recording.

    Attributes:
        tape: where it is written down.
        parameters: those that the rule is given.
    """

    def __init__(
        self,
        shown: Sequence[Shown],
        device: str,
        outcomes: Sequence[bool] = (),
        parameters: Sequence[torch.nn.Parameter] | None = None,
        seed: int = 0,
        usual: dict[tuple[int | None, str], bool] | None = None,
        forks: Forks | None = None,
        *,
        as_laid: bool = False,
    ) -> None:
        """Begin one, over new parameters or those of a rule that is there.

        Args:
            seed: of the random numbers of the process, where it has drawn none yet.
            outcomes, usual, forks: see `Tape`.
            as_laid: what is kept in a parameter's shape lies as the parameter does.
        """
        self.tape = Tape(outcomes, usual, forks)
        self._shown = shown
        self._device = device
        self._storages = Storages(self.tape)
        self._tags = Tags(self.tape)
        self._drawing = Drawing(self.tape, self._storages, self._tags, seed)
        made = [torch.nn.Parameter(_empty(each), each.trainable) for each in shown]
        self.parameters = list(parameters or made)
        self._order = KeptOrder(self.parameters if as_laid else [])
        self._gradients = [_empty(each) for each in shown]
        self._inputs: list[tuple[torch.Tensor, Place]] = []
        for index, parameter in enumerate(self.parameters):
            self._put(parameter.detach(), ("parameter", index))
            self._put(self._gradients[index], ("gradient", index))

    def _put(self, tensor: torch.Tensor, place: Place) -> None:
        self._storages.put_input(tensor, place)
        self._inputs.append((tensor, place))

    @contextmanager
    def modes(self) -> Iterator[None]:
        """Inside, what is done to tensors is written down."""
        dispatching = Dispatching(self.tape, self._storages, self._tags, self._drawing)
        intercepting = Intercepting(self.tape, self._storages, self._tags, self._device)
        with self._drawing.apart(), _symbolic_square_roots(), intercepting, dispatching:
            yield

    def require_recorded(self) -> None:
        """Raise the first thing that could not be written down, if there is one.

        Raises:
            Unrecordable: that.
        """
        if self.tape.fault is not None:
            raise self.tape.fault

    def give_gradients(self, present: Sequence[bool]) -> None:
        """Let some parameters have a gradient, and the others none."""
        for parameter, gradient, there in zip(
            self.parameters, self._gradients, present, strict=True
        ):
            parameter.grad = gradient if there else None

    def closure(self, loss: str | None, guards: RecordingGuards) -> RecordedClosure:
        """The closure of a step; see `Recorder.step`."""
        return RecordedClosure(self.tape, guards, loss, self.loss)

    def loss(self, dtype: str) -> torch.Tensor:
        """What a closure returns: read by the program from the place ("loss",)."""
        made = _empty(Shown(TensorType(dtype, ()), ()))
        self._put(made, ("loss",))
        return made

    # What the rule keeps

    def restore(self, rule: Any, kept: Kept) -> None:
        """Give a rule that was just built what it keeps by now."""
        leaves = [self._leaf(*each) for each in kept.leaves]
        parts = PuttingTogether(leaves.__getitem__).parts(kept.skeleton)
        rule.state.clear()
        attributes = {}
        options: list[dict[str, Any]] = [{} for _ in rule.param_groups]
        for place, part in parts:
            if place[0] == "state":
                rule.state[self.parameters[int(place[1])]] = part
            elif place == ("attribute", RANDOM):
                self._drawing.go_on(part)
            elif place[0] == "attribute":
                attributes[str(place[1])] = revived(part, self._drawing)
            else:
                options[int(place[1])][str(place[2])] = part
        for name in own_names(rule):
            if name not in attributes and not stays_built(vars(rule)[name]):
                del vars(rule)[name]
        restore_attributes(rule, attributes)
        for group, given in zip(rule.param_groups, options, strict=True):
            for name in as_numbers(without_params(group)):
                if name not in given:
                    del group[name]
            group.update(given)

    def _leaf(self, place: Place, kind: TensorType | str, number: Any) -> Any:
        if isinstance(kind, TensorType):
            strides = self._order.strides(place, kind.shape)
            made = _empty(Shown(kind, strides or _strides(kind.shape)))
            self._put(made, place)
            return made
        return symbol(self.tape, self.tape.read(place, kind), number, kind)

    def program(self, rule: Any, kept: Kept | None, returned: Any) -> Program:
        """What the rule has done, now that its step has returned.

        Raises:
            Unrecordable: it keeps what no program can give it again.
        """
        after = TakenApart(lambda value: is_leaf(value) or type(value) in SYMBOLS)
        try:
            take_apart(rule, self.parameters, self._given(), self._drawing, after)
        except ValueRefused as error:
            raise self.tape.refuse(str(error)) from None
        if not all(self._order.goes_on(*each) for each in after.leaves):
            raise self.tape.refuse(
                "keeps a tensor that does not lie in memory as its parameter does"
            )
        values = [self._value(leaf) for _, leaf in after.leaves]
        outputs = self._written()
        structure = None
        if kept is not None and self._same(kept, after):
            for (place, kind, _), value in zip(kept.leaves, values, strict=True):
                if value != self.tape.read(place, kind):
                    outputs[place] = value
        else:
            structure = renumbered(after.skeleton, values.__getitem__)
        # What else a step returns, as a dict or a function, is nobody's.
        gives = type(returned) in SYMBOLS or is_loss(returned)
        result = self._value(returned) if gives else None
        leaves = [] if structure is None else leaves_of(structure)
        return self.tape.program(outputs, structure, leaves, result)

    def _value(self, leaf: Any) -> int:
        if isinstance(leaf, torch.Tensor):
            return self._storages.read(leaf)
        return leaf.value if isinstance(leaf, Symbol) else self.tape.constant(leaf)

    def _same(self, kept: Kept, after: TakenApart) -> bool:
        if kept.skeleton != after.skeleton:
            return False
        return all(
            place == now and kind == _type_of_leaf(leaf)
            for (place, kind, _), (now, leaf) in zip(
                kept.leaves, after.leaves, strict=True
            )
        )

    def _given(self) -> list[torch.Tensor]:
        """All parameters and gradients."""
        return [each for each, _ in self._inputs[: 2 * len(self.parameters)]]

    def _written(self) -> dict[Place, int]:
        count = 2 * len(self.parameters)
        return {
            place: self._storages.read(tensor)
            for tensor, place in self._inputs[:count]
            if self._storages.is_written(tensor)
        }


def _type_of_leaf(leaf: Any) -> TensorType | str:
    if isinstance(leaf, torch.Tensor):
        return type_of(leaf)
    if isinstance(leaf, Symbol) and (leaf.kind != "number" or leaf.hint is None):
        return leaf.kind
    return type(leaf.hint if isinstance(leaf, Symbol) else leaf).__name__


def _empty(shown: Shown) -> torch.Tensor:
    return torch.empty_strided(
        shown.type.shape,
        shown.strides,
        dtype=DTYPES[shown.type.dtype],
        device="meta",
    )


def _strides(shape: Sequence[int]) -> tuple[int, ...]:
    strides, step = [], 1
    for size in reversed(shape):
        strides.append(step)
        step *= max(1, size)
    return tuple(reversed(strides))


@contextmanager
def _symbolic_square_roots() -> Iterator[None]:
    """torch's own optimizers take roots of numbers by a helper of theirs."""
    import sys

    name = "_dispatch_sqrt"
    homes = [
        module
        for path, module in list(sys.modules.items())
        if path.startswith("torch.optim.") and hasattr(module, name)
    ]
    before = [getattr(module, name) for module in homes]
    for module in homes:
        setattr(module, name, square_root)
    try:
        yield
    finally:
        for module, function in zip(homes, before, strict=True):
            setattr(module, name, function)
