"""At torch's functions: what leaves the world of tensors, and symbols on their way in.

Below this mode `dispatching` sees what aten does. Here a number that a rule asks of a
tensor becomes a symbol, and a symbol that it hands to torch becomes a plain number that
stands for it.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from dux_sandbox.recorded.storages import Storages
from dux_sandbox.recorded.symbols import Symbol, symbol
from dux_sandbox.recorded.tags import Tags
from dux_sandbox.recorded.takers import takes_numbers
from dux_sandbox.recorded.tape import Tape, rule_asks

_MOST_LISTED = 256
_SIZES = frozenset(["numel", "nelement", "size", "__len__", "shape"])
_FACTORS = ("alpha", "beta", "value")
_FACTOR_FIRST = {"add": 3, "sub": 3, "addcmul": 4, "addcdiv": 4}
"""How many arguments these have where their factor is the second, as torch once had."""


class Intercepting(TorchFunctionMode):
    """Answers what asks for values; hands everything else on without symbols."""

    def __init__(self, tape: Tape, storages: Storages, tags: Tags, device: str) -> None:
        """For tensors that the rule is told are on `device`."""
        super().__init__()
        self._tape = tape
        self._storages = storages
        self._tags = tags
        self._device = torch.device(device)
        self._answers: Mapping[str, Callable[..., Any]] = {
            "item": self._item,
            "__float__": lambda tensor: float(self._item(tensor)),
            "__int__": lambda tensor: int(self._item(tensor)),
            "__index__": lambda tensor: int(self._item(tensor)),
            "__bool__": self._truth,
            "is_nonzero": self._truth,
            "tolist": self._listed,
            "equal": self._equal,
            "allclose": self._close,
            "tensor": self._tensor,
            "as_tensor": self._tensor,
            "scalar_tensor": self._tensor,
            "new_tensor": self._new_tensor,
            "to": self._to,
            "type": self._type,
            "cpu": lambda tensor, *_, **__: tensor,
            "cuda": lambda tensor, *_, **__: tensor,
            "pin_memory": lambda tensor, *_, **__: tensor,
            "fill_diagonal_": self._fill_diagonal,
            # Without eigenvectors, as where nobody looks on.
            "linalg_eigvalsh": lambda matrix, UPLO="L": torch.ops.aten._linalg_eigh(
                matrix, UPLO, False
            )[0],
            "linalg_svdvals": lambda matrix, driver=None: torch.ops.aten._linalg_svd(
                matrix, False, False
            )[1],
            "get_device": lambda tensor: self._device.index or -1,
            "data_ptr": lambda tensor: hash(_place(tensor)),
        }
        self._getters: Mapping[str, Callable[[Any], Any]] = {
            "device": lambda tensor: self._device,
            "is_meta": lambda tensor: False,
            "is_cpu": lambda tensor: self._device.type == "cpu",
            "is_cuda": lambda tensor: self._device.type == "cuda",
        }

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        """See `TorchFunctionMode`."""
        kwargs = kwargs or {}
        if kwargs.get("device") is not None:
            # All of them are on one that is none, and the real one may not be here.
            kwargs = {**kwargs, "device": None}
        name = getattr(func, "__name__", "")
        found = getattr(getattr(func, "__self__", None), "__name__", "")
        if (name if name != "__get__" else found) in _SIZES and args:
            picked = args[0].untyped_storage()._cdata in self._storages.masks
            if picked and rule_asks():
                raise self._tape.refuse("asks how many elements a mask has picked")
        if name == "__get__":
            if found in self._getters:
                return self._getters[found](args[0])
            return func(*args, **kwargs)
        answer = self._answers.get(name)
        if answer is not None:
            with self:
                return answer(*args, **kwargs)
        if any(isinstance(kwargs.get(each), torch.Tensor) for each in _FACTORS):
            kwargs = self._with_numbers(kwargs)
        if _FACTOR_FIRST.get(name.removesuffix("_")) == len(args):
            args = self._with_factor(args)
        if name == "__setitem__" and _is_one_mask(*args):
            with self:
                args[0].masked_fill_(args[1], args[2])
            return None
        if not _any_in((args, kwargs), _is_symbol):
            return func(*args, **kwargs)
        if not takes_numbers(func):
            plain, named = _mapped((args, kwargs), Symbol.plain)
            return func(*plain, **named)
        if name == "__setitem__":
            # A slice would take any number for an end.
            args = (args[0], _mapped(args[1], Symbol.plain), *args[2:])
        if not _any_in((args, kwargs), _is_floating):
            args, kwargs = _mapped((args, kwargs), Symbol.settled)
        plain, named = self._told((args, kwargs))
        try:
            return func(*plain, **named)
        except (TypeError, ValueError, IndexError, RuntimeError, OverflowError):
            # It wants a size, a dimension, an index: a number that stays.
            plain, named = _mapped((args, kwargs), Symbol.plain)
            return func(*plain, **named)

    def _told(self, found: Any) -> Any:
        """The arguments with plain numbers that stand for symbols."""
        return _mapped(found, lambda each: self._tags.tag(each.value, each.kind))

    def _with_numbers(self, named: dict[str, Any]) -> dict[str, Any]:
        """With the number of a tensor where torch would ask for it inside."""
        with self:
            return {
                name: self._item(each)
                if name in _FACTORS and isinstance(each, torch.Tensor)
                else each
                for name, each in named.items()
            }

    def _with_factor(self, given: Any) -> Any:
        """With the number of a tensor where a factor is the second argument."""
        if not isinstance(given[1], torch.Tensor) or given[1].ndim:
            return given
        with self:
            return (given[0], self._item(given[1]), *given[2:])

    # Numbers out of tensors

    def _item(self, tensor: Any) -> Any:
        if tensor.numel() != 1:
            raise RuntimeError(
                f"a Tensor with {tensor.numel()} elements cannot be converted to Scalar"
            )
        value = self._tape.number("item", self._storages.read(tensor))
        if tensor.dtype is torch.bool:
            return self._tape.guard(value, None, self._guess(value))
        kind = "float" if tensor.dtype.is_floating_point else "int"
        return symbol(self._tape, value, None, kind)

    def _guess(self, value: int) -> bool:
        """Whether a question to a tensor is more often answered with yes."""
        return not any(
            self._tape.comes_of(value, each) for each in ("any", "eq", "isnan", "isinf")
        )

    def _truth(self, tensor: Any) -> bool:
        return bool(self._item(tensor))

    def _listed(self, tensor: Any) -> Any:
        if not tensor.ndim:
            return self._item(tensor)
        if tensor.numel() > _MOST_LISTED:
            raise self._tape.refuse(f"takes {tensor.numel()} numbers out of a tensor")
        return [self._listed(each) for each in tensor.unbind(0)]

    def _equal(self, one: Any, other: Any) -> bool:
        if one.shape != other.shape:
            return False
        return bool((one == other).all())

    def _close(self, one: Any, other: Any, *tolerances: Any, **named: Any) -> bool:
        return bool(torch.isclose(one, other, *tolerances, **named).all())

    def _fill_diagonal(self, tensor: Any, value: Any, wrap: bool = False) -> Any:
        if tensor.ndim != 2 or wrap:
            raise self._tape.refuse("fills a diagonal that is not of one matrix")
        tensor.diagonal().fill_(value)
        return tensor

    # Tensors of numbers

    def _tensor(self, data: Any, dtype: Any = None, **_: Any) -> Any:
        if isinstance(data, torch.Tensor):
            return data.to(dtype) if dtype is not None else data.clone()
        if isinstance(data, (list, tuple)):
            parts = [self._tensor(each, dtype) for each in data]
            if not parts:
                return torch.zeros(0, dtype=dtype)
            shared = dtype or torch.result_type(parts[0], parts[-1])
            return torch.stack([each.to(shared) for each in parts])
        return torch.full((), data, dtype=dtype or _dtype_of(data))

    def _new_tensor(self, tensor: Any, data: Any, dtype: Any = None, **_: Any) -> Any:
        return self._tensor(data, dtype or tensor.dtype)

    # Where tensors are

    def _to(self, tensor: Any, *given: Any, **named: Any) -> Any:
        dtype, copy = named.get("dtype"), named.get("copy", False)
        for each in (*given, *named.values()):
            if isinstance(each, torch.dtype):
                dtype = each
            elif isinstance(each, torch.Tensor):
                dtype = each.dtype
        if dtype is None or dtype == tensor.dtype:
            return tensor.clone() if copy else tensor
        return torch.ops.aten._to_copy(tensor, dtype=dtype)

    def _type(self, tensor: Any, dtype: Any = None, **_: Any) -> Any:
        if isinstance(dtype, torch.dtype):
            return self._to(tensor, dtype)
        raise self._tape.refuse("asks for a type of tensor by its name")


def _place(tensor: torch.Tensor) -> tuple[int, int]:
    return tensor.untyped_storage()._cdata, int(tensor.storage_offset())


def _is_one_mask(tensor: Any, index: Any, value: Any) -> bool:
    """`x[mask] = y` of single elements, where torch asks for the mask's number."""
    is_mask = isinstance(index, torch.Tensor) and index.dtype is torch.bool
    single = not isinstance(value, torch.Tensor) or not value.ndim
    return is_mask and single and _is_floating(tensor) and not index.ndim


def _dtype_of(number: Any) -> torch.dtype:
    """What torch makes of a number of Python."""
    is_symbol = isinstance(number, Symbol)
    kind = number.settled().kind if is_symbol else type(number).__name__
    if kind == "bool":
        return torch.bool
    return torch.int64 if kind == "int" else torch.get_default_dtype()


def _any_in(found: Any, asked: Callable[[Any], bool]) -> bool:
    """Whether it is true of anything in lists, tuples, dicts and slices."""
    if isinstance(found, (list, tuple)):
        return any(_any_in(each, asked) for each in found)
    if isinstance(found, dict):
        return any(_any_in(each, asked) for each in found.values())
    if type(found) is slice:
        return _any_in((found.start, found.stop, found.step), asked)
    return asked(found)


def _is_symbol(found: Any) -> bool:
    return isinstance(found, Symbol)


def _is_floating(found: Any) -> bool:
    """A tensor beside which int and float are one."""
    return isinstance(found, torch.Tensor) and found.dtype.is_floating_point


def _mapped(found: Any, change: Callable[[Symbol], Any]) -> Any:
    """Lists, tuples and dicts with something else in place of each symbol."""
    if isinstance(found, Symbol):
        return change(found)
    if type(found) in (list, tuple):
        return type(found)(_mapped(each, change) for each in found)
    if isinstance(found, dict):
        return {key: _mapped(each, change) for key, each in found.items()}
    if type(found) is slice:
        parts = (found.start, found.stop, found.step)
        return slice(*(_mapped(each, change) for each in parts))
    return found
