"""What an operation of aten is in the table, with what it was given there."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch

from dux_sandbox.recorded.aten_names import DEFAULTS, TRANSLATIONS, Translation
from dux_sandbox.recorded.operations import TABLE
from dux_sandbox.recorded.rows import DTYPES
from dux_sandbox.recorded.storages import Storages
from dux_sandbox.recorded.tags import Tags
from dux_sandbox.recorded.tape import Tape

_NAMES = {dtype: name for name, dtype in DTYPES.items()}
_FULL = {
    **dict.fromkeys(["zeros", "zeros_like", "new_zeros", "empty", "empty_like"], 0),
    **dict.fromkeys(["new_empty", "empty_strided", "new_empty_strided"], 0),
    **dict.fromkeys(["ones", "ones_like", "new_ones"], 1),
    **dict.fromkeys(["full", "full_like", "new_full", "scalar_tensor"], None),
}
_OF_A_NUMBER = frozenset(["add", "sub", "mul", "div", "floor_divide"])
"""Whose first argument may be a number, as in `torch.div(1.0, x)`."""
_TO_BOOL = frozenset(
    [
        *("eq", "ne", "lt", "le", "gt", "ge", "logical_and", "logical_or"),
        *("logical_xor", "logical_not", "isnan", "isinf", "isfinite", "signbit"),
    ]
)


class NumberWanted(TypeError):
    """Something that must not change was given a number that does: a size, a place."""


class Translating:
    """Writes operations down by the names of the table."""

    def __init__(self, tape: Tape, storages: Storages, tags: Tags) -> None:
        """On this tape, of tensors of these storages."""
        self._tape = tape
        self._storages = storages
        self._tags = tags
        self._special: Mapping[str, Callable[..., Any]] = {
            "copy": self._copy,
            "fill": self._fill,
            "zero": self._fill,
            "clamp": self._clamp,
            "div": self._div,
            "max": self._extreme,
            "min": self._extreme,
            "median": self._extreme,
            "cat": self._joined,
            "stack": self._joined,
            "_to_copy": self._converted,
            "eye": self._eye,
            "arange": self._arange,
            "index_put": self._index_put,
            "_index_put_impl": self._index_put,
            "index": self._index,
            "scatter": self._scatter,
            "linspace": self._made_from,
            "tril_indices": self._made_from,
            "triu_indices": self._made_from,
            "linalg_pinv": self._pinv,
            "count_nonzero": self._count_nonzero,
            "block_diag": self._joined,
        }

    def value(
        self, name: str, bound: dict[str, Any], result: torch.Tensor | None
    ) -> int | None:
        """The value that an operation makes, or None where the table has it not."""
        if name in _FULL and result is not None:
            return self._full(name, bound, result)
        if name in _OF_A_NUMBER and not isinstance(bound["self"], torch.Tensor):
            bound = {**bound, "self": self._as_tensor(bound["self"], bound["other"])}
        special = self._special.get(name)
        if special is not None:
            found: int = special(bound, result, name)
            return found
        translation = TRANSLATIONS.get(name)
        return None if translation is None else self._translated(translation, bound)

    def _translated(self, translation: Translation, bound: dict[str, Any]) -> int:
        arguments = []
        for name in translation.arguments:
            if name not in bound:
                continue
            given = bound[name]
            if name == "alpha" and translation.name in ("add", "sub", "rsub"):
                if type(given) is int and given == 1:
                    continue
            if name in ("p", "ord") and given is None:
                given = 2
            arguments.append(self._argument(given))
        attributes = {
            ours: bound.get(theirs, DEFAULTS.get(theirs))
            for theirs, ours in translation.attributes
        }
        self._require_all_said(translation, bound)
        return self._emit(translation.name, arguments, **attributes)

    def _require_all_said(self, translation: Translation, bound: Any) -> None:
        said = {*translation.arguments, *(each for each, _ in translation.attributes)}
        for name, given in bound.items():
            if name not in said and not (given is None or given is False):
                raise self._tape.refuse(f"gives {translation.name} a {name}")

    def _emit(self, name: str, arguments: Iterable[int], **attributes: Any) -> int:
        """One operation, with attributes as aten has them."""
        kinds = TABLE[name].attributes
        plain = {key: _plain(value, kinds[key]) for key, value in attributes.items()}
        if any(self._tags.is_tag(each) for each in plain.values()):
            raise NumberWanted(name)
        return self._tape.emit(name, arguments, **plain)

    def _argument(self, given: Any) -> int:
        if isinstance(given, torch.Tensor):
            return self._storages.read(given)
        return self._tags.value_of(given)

    def _as_tensor(self, number: Any, beside: Any) -> torch.Tensor:
        """A number as a tensor of no dimensions that goes with another argument."""
        made = torch.empty((), dtype=torch.result_type(number, beside), device="meta")
        self._storages.put(made, self._filled(number, made))
        return made

    def _full(self, name: str, bound: dict[str, Any], result: torch.Tensor) -> int:
        number = _FULL[name]
        if number is None:
            number = bound["s"] if name == "scalar_tensor" else bound["fill_value"]
        return self._filled(number, result)

    def _filled(self, number: Any, like: torch.Tensor) -> int:
        value = self._tags.value_of(number)
        return self._emit("full", (value,), size=list(like.shape), dtype=like.dtype)

    def _as_type(self, value: int, found: torch.dtype, wanted: torch.dtype) -> int:
        if found == wanted:
            return value
        return self._tape.emit("to", (value,), dtype=_NAMES[wanted])

    # Special forms, each with what aten was given and the tensor that it made

    def _converted(self, bound: Any, result: Any, _: str) -> int:
        source = bound["self"]
        value = self._storages.read(source)
        return self._as_type(value, source.dtype, result.dtype)

    def _copy(self, bound: Any, result: Any, _: str) -> int:
        source = bound["src"]
        value = self._as_type(self._storages.read(source), source.dtype, result.dtype)
        if source.shape != result.shape:
            value = self._tape.emit("expand", (value,), size=list(result.shape))
        return value

    def _fill(self, bound: Any, result: Any, _: str) -> int:
        given = bound.get("value", 0)
        if not isinstance(given, torch.Tensor):
            return self._filled(given, result)
        value = self._as_type(self._storages.read(given), given.dtype, result.dtype)
        return self._tape.emit("expand", (value,), size=list(result.shape))

    def _clamp(self, bound: Any, _: Any, __: str) -> int:
        low, high = bound.get("min"), bound.get("max")
        arguments = [self._argument(bound["self"])]
        arguments += [self._argument(each) for each in (low, high) if each is not None]
        name = "clamp" if len(arguments) == 3 else "clamp_max"
        name = "clamp_min" if high is None else name
        return self._tape.emit(name, arguments)

    def _div(self, bound: Any, _: Any, __: str) -> int:
        given = [self._argument(bound["self"]), self._argument(bound["other"])]
        mode = bound.get("rounding_mode")
        if mode is None:
            return self._tape.emit("div", given)
        return self._tape.emit("div_rounded", given, rounding_mode=mode)

    def _extreme(self, bound: Any, _: Any, name: str) -> int:
        value = self._argument(bound["self"])
        if "other" in bound:
            both = {"max": "maximum", "min": "minimum"}[name]
            return self._tape.emit(both, (value, self._argument(bound["other"])))
        if "dim" in bound:
            along = {"dim": bound["dim"], "keepdim": bound.get("keepdim", False)}
            return self._tape.emit(f"{name}_along", (value,), **along)
        if name == "median":
            return self._tape.emit("median", (value,))
        return self._tape.emit(f"a{name}", (value,), dim=None, keepdim=False)

    def _joined(self, bound: Any, _: Any, name: str) -> int:
        values = [self._argument(each) for each in bound["tensors"]]
        along = {} if name == "block_diag" else {"dim": bound.get("dim", 0)}
        return self._emit(name, values, **along)

    def _scatter(self, bound: Any, _: Any, __: str) -> int:
        if bound.get("reduce") is not None:
            raise self._tape.refuse("scatters with a reduction; use scatter_add")
        other = "value" if "value" in bound else "src"
        given = [self._argument(bound[each]) for each in ("self", "index", other)]
        name = "scatter_value" if other == "value" else "scatter"
        return self._emit(name, given, dim=bound["dim"])

    def _made_from(self, bound: Any, result: Any, name: str) -> int:
        kinds = TABLE[name].attributes
        given = {each: bound[each] for each in kinds if each != "dtype"}
        return self._emit(name, (), **given, dtype=result.dtype)

    def _pinv(self, bound: Any, _: Any, __: str) -> int:
        rtol = bound.get("rcond", bound.get("rtol"))
        if bound.get("atol") is not None or isinstance(rtol, torch.Tensor):
            raise self._tape.refuse("asks for a pseudo-inverse with a tolerance")
        given = {"rtol": rtol, "hermitian": bound.get("hermitian", False)}
        return self._emit("pinv", [self._argument(bound["self"])], **given)

    def _count_nonzero(self, bound: Any, _: Any, name: str) -> int:
        dim = bound.get("dim")
        over = list(range(bound["self"].ndim)) if dim is None else dim
        return self._emit(name, [self._argument(bound["self"])], dim=over)

    def _index(self, bound: Any, _: Any, __: str) -> int:
        dims, indices = self._of_whole_numbers(bound)
        target = self._argument(bound["self"])
        return self._emit("index", (target, *indices), dims=dims)

    def _of_whole_numbers(self, bound: Any) -> tuple[list[int], list[int]]:
        """The dimensions that are indexed, and by which values."""
        found = {dim: at for dim, at in enumerate(bound["indices"]) if at is not None}
        if any(each.dtype is torch.bool for each in found.values()):
            raise self._tape.refuse("picks by a mask and by places at once")
        return list(found), [self._storages.read(each) for each in found.values()]

    def _eye(self, _: Any, result: Any, __: str) -> int:
        rows, columns = result.shape
        dtype = _NAMES[result.dtype]
        return self._tape.emit("eye", (), n=rows, m=columns, dtype=dtype)

    def _arange(self, bound: Any, result: Any, _: str) -> int:
        span = {"start": 0, "step": 1} | bound
        given = {name: span[name] for name in ("start", "end", "step")}
        if not all(type(each) in (int, float) for each in given.values()):
            raise self._tape.refuse("makes a range of what is no plain number")
        return self._emit("arange", (), **given, dtype=result.dtype)

    def _index_put(self, bound: Any, _: Any, __: str) -> int:
        """`x[mask] = one value`, which is `where`."""
        (mask, *others), values = bound["indices"], bound["values"]
        target = bound["self"]
        masked = mask is not None and mask.dtype is torch.bool and not others
        accumulate = bool(bound.get("accumulate"))
        if not masked:
            dims, indices = self._of_whole_numbers(bound)
            given = [self._storages.read(each) for each in (target, values)]
            how = {"dims": dims, "accumulate": accumulate}
            return self._emit("index_put", (*given, *indices), **how)
        if accumulate or values.numel() != 1:
            raise self._tape.refuse("writes many values where a mask is true")
        asked = self._storages.read(mask)
        if mask.ndim < target.ndim:
            shape = [*mask.shape, *[1] * (target.ndim - mask.ndim)]
            asked = self._tape.emit("reshape", (asked,), shape=shape)
        value = self._storages.read(values)
        if values.ndim:
            value = self._tape.emit("reshape", (value,), shape=[])
        value = self._as_type(value, values.dtype, target.dtype)
        return self._tape.emit("where", (asked, value, self._storages.read(target)))

    def in_dtype_of(
        self, target: torch.Tensor, name: str, bound: dict[str, Any], value: int
    ) -> int:
        """A change in place keeps the dtype that the target has."""
        others = [each for each in tensors_in(list(bound.values()))]
        if all(each.dtype == target.dtype for each in others) and name not in _TO_BOOL:
            return value
        return self._tape.emit("to", (value,), dtype=_NAMES[target.dtype])


def tensors_in(found: Any) -> list[torch.Tensor]:
    if isinstance(found, torch.Tensor):
        return [found]
    if isinstance(found, dict):
        found = list(found.values())
    if isinstance(found, (list, tuple)):
        return [tensor for each in found for tensor in tensors_in(each)]
    return []


def _plain(value: Any, kind: str) -> Any:
    """The value of an attribute as a program has it."""
    if isinstance(value, torch.dtype):
        return _NAMES[value]
    if kind.startswith("ints") and type(value) is int:
        return [value]
    if isinstance(value, (list, tuple)):
        return [int(each) for each in value] or (None if kind == "ints?" else [])
    return value
