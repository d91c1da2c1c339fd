"""Below torch's functions: each operation of aten becomes one of the table."""

from collections.abc import Sequence
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from dux_sandbox.recorded.aten_names import SINGLE, TRANSLATIONS
from dux_sandbox.recorded.drawing import Drawing, filled_by
from dux_sandbox.recorded.one_of_many import on_one
from dux_sandbox.recorded.selecting import Selecting
from dux_sandbox.recorded.storages import Storages, key_of
from dux_sandbox.recorded.tags import Tags
from dux_sandbox.recorded.tape import Tape
from dux_sandbox.recorded.translating import Translating, tensors_in
from dux_sandbox.recorded.typing_of import type_of

_SAME_VALUE = frozenset(
    ["clone", "detach", "alias", "lift_fresh", "lift", "contiguous"]
)
_RANDOM = ("rand", "normal", "bernoulli", "multinomial", "poisson", "dropout")
_VIEWS = frozenset(
    [
        *("t", "transpose", "permute", "view", "_unsafe_view", "reshape", "expand"),
        *("unsqueeze", "squeeze", "select", "slice", "diagonal", "unbind", "split"),
        *("split_with_sizes", "_reshape_alias", "unfold"),
    ]
)

_TURNED = frozenset(["squeeze_", "unsqueeze_", "detach_"])
"""What adds or takes away dimensions of one, in place."""
_PUTS = frozenset(["index_put_", "_index_put_impl_"])


class Dispatching(TorchDispatchMode):
    """Writes down what aten does; runs it on tensors without values."""

    def __init__(
        self, tape: Tape, storages: Storages, tags: Tags, drawing: Drawing
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._tape = tape
        self._storages = storages
        self._tags = tags
        self._drawing = drawing
        self._selecting = Selecting(tape, storages)
        self._translating = Translating(tape, storages, tags)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        """See `TorchDispatchMode`."""
        kwargs = dict(kwargs or {})
        name = func._schema.name.removeprefix("aten::")
        if name.startswith("_foreach_"):
            return self._each(name, func, args, kwargs)
        if name == "_linalg_check_errors" or name.startswith("profiler::"):
            return func(*args, **kwargs)
        if name == "_local_scalar_dense":
            raise self._tape.refuse("asks for the number in a tensor inside of torch")
        random = name.startswith(_RANDOM)
        if random or "generator" in {each.name for each in func._schema.arguments}:
            return self._draw(name, func, args, kwargs)
        if any(each.name == "device" for each in func._schema.arguments):
            kwargs["device"] = torch.device("meta")
        if any(each.name == "pin_memory" for each in func._schema.arguments):
            kwargs["pin_memory"] = False
        given = tensors_in((args, kwargs))
        for each in given:
            if not each.is_meta or not self._storages.knows(each):
                raise self._tape.refuse("uses a tensor that is kept outside its state")
        bound = _bound(func, args, kwargs)
        if name == "index":
            picked = self._selecting.picked(bound)
            if picked is not None:
                return picked
        if name in _PUTS and self._selecting.put_back(bound):
            return bound["self"]
        mask = self._selecting.mask(name, given)
        made = self._recorded(name, func, args, kwargs, bound)
        if mask is not None:
            self._selecting.mark(tensors_in(made), mask)
        return made

    def _recorded(
        self, name: str, func: Any, args: Any, kwargs: Any, bound: dict[str, Any]
    ) -> Any:
        """Run an operation on tensors without values, and write it down."""
        if name.endswith("_copy") and name.removesuffix("_copy") in _VIEWS:
            return self._copied(name.removesuffix("_copy"), func, args, kwargs)
        before = key_of(args[0]) if name in _TURNED else None
        made = self._run(name, func, args, kwargs)
        if before is not None:
            self._storages.turn(made, before)
            return made
        written = _written(func, bound)
        if written is not None:
            plain = name.removesuffix("_") if "out" not in bound else name
            self._write(plain, written, bound)
            return made
        self._made(name, func, made, bound)
        return made

    def _draw(self, name: str, func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        """Note what is drawn; nothing is."""
        bound = _bound(func, args, kwargs)
        made = _written(func, bound)
        if made is not None:
            self._storages.write(made, self._drawing.draw(name, bound, made))
            return made
        made = filled_by(name, bound)
        self._storages.put(made, self._drawing.draw(name, bound, made))
        return made

    def _run(self, name: str, func: Any, args: Any, kwargs: Any) -> Any:
        try:
            return func(*args, **kwargs)
        except NotImplementedError:
            what = "x[mask]" if name == "index" else name
            message = f"makes what has a shape that hangs on values ({what})"
            raise self._tape.refuse(message) from None

    def _copied(self, name: str, func: Any, args: Any, kwargs: Any) -> Any:
        """What is in a view, in memory of its own."""
        made = func(*args, **kwargs)
        with self:
            views = getattr(torch.ops.aten, name)(*args, **kwargs)
        for result, view in zip(tensors_in(made), tensors_in(views), strict=True):
            self._storages.put(result, self._storages.read(view))
        return made

    # What is made

    def _made(self, name: str, func: Any, made: Any, bound: dict[str, Any]) -> None:
        results = [each for each in tensors_in(made)]
        if name in _VIEWS and self._viewed(name, results, bound):
            return
        if name in _SAME_VALUE or name in _VIEWS:
            (result,) = results
            source = bound["self"]
            if self._storages.knows(result):
                self._storages.put_view(result, source, name)
            elif name in _SAME_VALUE:
                self._storages.put(result, self._storages.read(source))
            else:
                shape = list(result.shape)
                value = self._tape.emit(
                    "reshape", (self._storages.read(source),), shape=shape
                )
                self._storages.put(result, value)
            return
        if any(self._storages.knows(each) for each in results):
            if name in ("_to_copy", "to"):
                return
            raise self._tape.refuse(f"makes a view by {name}")
        found = self._translating.value(name, bound, results[0] if results else None)
        if found is None:
            raise self._tape.refuse(f"uses the operation {name}, which no program has")
        if len(results) == 1:
            self._storages.put(results[0], found)
            return
        single = name in TRANSLATIONS and TRANSLATIONS[name].name in SINGLE
        for index, each in enumerate(results):
            if single and index:
                self._storages.put_unknown(each, f"result {index} of {name}")
                continue
            part = found if single else self._tape.emit("part", (found,), index=index)
            self._storages.put(each, part)

    # What is written

    def _write(self, name: str, target: torch.Tensor, bound: dict[str, Any]) -> None:
        value = self._translating.value(name, bound, target)
        if value is None:
            raise self._tape.refuse(f"uses the operation {name}_, which no program has")
        if name not in ("copy", "fill", "zero"):
            value = self._translating.in_dtype_of(target, name, bound, value)
        self._storages.write(target, value)

    # Views

    def _viewed(
        self, name: str, results: Sequence[torch.Tensor], bound: dict[str, Any]
    ) -> bool:
        """Note views; False where what was made is no view."""
        source = bound["self"]
        if not all(self._storages.knows(each) for each in results):
            return False
        put = self._storages.put_view
        if name in ("unbind", "split", "split_with_sizes"):
            self._pieces(name, results, bound)
            return True
        (result,) = results
        if key_of(result) == key_of(source):
            put(result, source, name)
        elif result.dtype != source.dtype:
            bytes_of_each = {each.dtype.itemsize for each in (result, source)}
            if len(bytes_of_each) > 1 or torch.bool in (result.dtype, source.dtype):
                raise self._tape.refuse("sees the bytes of a tensor in other pieces")
            put(result, source, "bits", dtype=type_of(result).dtype)
        elif name in ("t", "transpose"):
            dims = {"dim0": bound.get("dim0", 0), "dim1": bound.get("dim1", 1)}
            put(result, source, "transpose", **dims)
        elif name == "permute":
            put(result, source, "permute", dims=list(bound["dims"]))
        elif name == "expand":
            put(result, source, "expand", size=list(result.shape))
        elif name == "select":
            index = bound["index"] % source.shape[bound["dim"]]
            put(result, source, "select", dim=bound["dim"], index=index)
        elif name == "slice":
            put(result, source, "slice", **_span(bound, source))
        elif name == "unfold":
            given = {each: bound[each] for each in ("dimension", "size", "step")}
            put(result, source, name, **given)
        elif name == "diagonal":
            given = {each: bound[each] for each in ("offset", "dim1", "dim2")}
            put(result, source, "diagonal", **given)
        else:
            put(result, source, "reshape", shape=list(result.shape))
        return True

    def _pieces(
        self, name: str, results: Sequence[torch.Tensor], bound: dict[str, Any]
    ) -> None:
        source, dim, at = bound["self"], bound.get("dim", 0), 0
        for index, piece in enumerate(results):
            if name == "unbind":
                self._storages.put_view(piece, source, "select", dim=dim, index=index)
                continue
            end = at + piece.shape[dim]
            span = {"dim": dim, "start": at, "end": end, "step": 1}
            self._storages.put_view(piece, source, "slice", **span)
            at = end

    # Lists of tensors

    def _each(self, name: str, func: Any, args: Any, kwargs: Any) -> Any:
        """An operation on lists of tensors, one tensor after the other."""
        bound = _bound(func, args, kwargs)
        lists = [
            key for key, value in bound.items() if isinstance(value, (list, tuple))
        ]
        made = []
        with self:
            for at in range(len(bound["self"])):
                one = {
                    key: value[at] if key in lists else value
                    for key, value in bound.items()
                }
                made.append(on_one(name.removeprefix("_foreach_"), one))
        return None if name.endswith("_") else made


def _span(bound: dict[str, Any], source: torch.Tensor) -> dict[str, int]:
    dim, step = bound.get("dim", 0), bound.get("step", 1)
    places = slice(bound.get("start"), bound.get("end"), step)
    start, end, _ = places.indices(source.shape[dim])
    return {"dim": dim, "start": start, "end": max(start, end), "step": step}


def _bound(func: Any, args: Any, kwargs: dict[str, Any]) -> dict[str, Any]:
    """Every argument by its name in the schema, defaults included."""
    bound = {}
    for at, argument in enumerate(func._schema.arguments):
        if at < len(args):
            bound[argument.name] = args[at]
        elif argument.name in kwargs:
            bound[argument.name] = kwargs[argument.name]
        elif argument.has_default_value():
            bound[argument.name] = argument.default_value
    return bound


def _written(func: Any, bound: dict[str, Any]) -> torch.Tensor | None:
    """The tensor that an operation changes, or None."""
    for argument in func._schema.arguments:
        if argument.alias_info is not None and argument.alias_info.is_write:
            written: torch.Tensor = bound[argument.name]
            return written
    return None
