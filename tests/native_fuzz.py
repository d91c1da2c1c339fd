"""Calls what is allowed of torch with odd arguments that end at a forbidden page.

What a rule reaches is called as the guards hand it out, alone and in sequences, where
a call gets what the calls before it gave, and with `out=`. Name and number decide all
of it, so that it can be made again.
"""

from __future__ import annotations

import ctypes
import math
import mmap
import random
from collections.abc import Callable
from typing import Any

import torch

from dux_sandbox.language import vocabulary
from dux_sandbox.runtime import lookups
from dux_sandbox.runtime.context import Context
from dux_sandbox.runtime.facade import PATHS
from dux_sandbox.runtime.tables import tables_by_type
from dux_sandbox.runtime.writing import Writing

_PAGE = mmap.PAGESIZE
_LIBC = ctypes.CDLL(None, use_errno=True)
_SHAPES = [(), (0,), (1,), (3,), (5,), (33,), (257,), (2, 3), (3, 2), (3, 3), (4, 4)]
_SHAPES += [(1, 3), (3, 1), (0, 3), (2, 0, 3), (2, 3, 4), (1,) * 5, (2, 2, 2, 2)]
_FLOATS = [torch.float32, torch.float64, torch.float16, torch.bfloat16]
_WHOLE = [torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8]
_DTYPES = [*_FLOATS, torch.float32, *_WHOLE, torch.int64, torch.bool, torch.complex64]
_INTEGERS = [-(2**63), -(2**31), -3, -2, -1, 0, 0, 1, 1, 2, 3, 5, 7, 64, 1000, 2**31]
_INTEGERS += [2**62, 2**63 - 1]
_NUMBERS = [0.0, 1.0, -1.0, 0.5, 2.0, math.nan, math.inf, -math.inf, 1e308, 3]
_TEXTS = """reflect constant replicate circular sum mean amax amin prod none batchmean
reduced complete r fro nuc xy ij linear lower higher nearest midpoint tanh trunc floor
gelsd gelsy left right gelu x""".split()
_KEPT = 4096  # numbers; larger results are no arguments
_MODULES = "torch torch.fft torch.linalg torch.nn.functional torch.special".split()
# Other names, or none, in torch's table of operators.
_OPERATORS = {"torch.nn.functional.": "", "torch.linalg.": "linalg_"}
_OPERATORS |= {"torch.fft.": "fft_", "torch.": ""}


def guarded(count: int, dtype: torch.dtype, rng: random.Random) -> torch.Tensor:
    """A flat tensor whose last byte is the last before a page that nobody may touch."""
    size = count * dtype.itemsize
    pages = max(1, -(-size // _PAGE))
    block = mmap.mmap(-1, (pages + 1) * _PAGE)
    start = ctypes.addressof(ctypes.c_char.from_buffer(block))
    if _LIBC.mprotect(ctypes.c_void_p(start + pages * _PAGE), _PAGE, 0):
        raise OSError(ctypes.get_errno(), "mprotect")
    if not count:
        return torch.empty(0, dtype=dtype)
    offset = pages * _PAGE - size
    made = torch.frombuffer(block, dtype=dtype, count=count, offset=offset)
    generator = torch.Generator().manual_seed(rng.randrange(2**31))
    if dtype is torch.bool or not (dtype.is_floating_point or dtype.is_complex):
        high = rng.choice([2, 2, 4, 100])
        low = rng.choice([0, 0, 0, -3]) if dtype.is_signed else 0
        values = torch.randint(low, high, (count,), generator=generator)
        if dtype is torch.int64 and rng.random() < 0.1:
            values[0] = rng.choice([2**62, -(2**62), 2**31])
    else:
        values = torch.randn(count, generator=generator)
        if rng.random() < 0.1:
            values[0] = rng.choice([math.nan, math.inf])
    return made.copy_(values)


class Arguments:
    """Draws the arguments of one call."""

    def __init__(self, rng: random.Random, results: list[torch.Tensor]) -> None:
        """`results` are of earlier calls; this one may get them."""
        self._rng = rng
        self._results = results
        self._shape = rng.choice(_SHAPES)
        self._dtype = rng.choice(_DTYPES)

    def tensor(self) -> torch.Tensor:
        """One that is often like the others of this call, and often oddly strided."""
        rng = self._rng
        if self._results and rng.random() < 0.5:
            return self._result(rng.choice(self._results))
        shape = self._shape if rng.random() < 0.6 else rng.choice(_SHAPES)
        dtype = self._dtype if rng.random() < 0.6 else rng.choice(_DTYPES)
        how = rng.random()
        made = guarded(math.prod(shape), dtype, rng).view(shape)
        if how < 0.1 and made.ndim > 1:
            return made.transpose(0, -1)
        if how < 0.2 and made.ndim and made.shape[0] > 2:
            return made[1::2]
        if how < 0.25:
            return made.expand(2, *made.shape)
        if how < 0.3 and made.ndim:
            return made.flip(0)
        return made

    def _result(self, made: torch.Tensor) -> torch.Tensor:
        """As it is, or its numbers where they end at the forbidden page."""
        if self._rng.random() < 0.5 or made.layout is not torch.strided:
            return made
        copy = guarded(made.numel(), made.dtype, self._rng).view(made.shape)
        return copy.copy_(made)

    def integers(self) -> list[int]:
        """A short list of whole numbers, seldom a long one."""
        count = self._rng.choice([0, 1, 1, 2, 2, 3, 4, 9, 70])
        small = [-1, 0, 1, 2, 3]
        pool = small if self._rng.random() < 0.8 else _INTEGERS
        return [self._rng.choice(pool) for _ in range(count)]

    def of(self, kind: str) -> Any:
        """A value for an argument of this type of torch's schemas."""
        rng = self._rng
        if kind.startswith("Optional["):
            return None if rng.random() < 0.5 else self.of(kind[9:-1])
        if kind.startswith("List["):
            inner = kind[5:-1]
            if inner in ("int", "number"):
                return self.integers()
            return [self.of(inner) for _ in range(rng.choice([0, 1, 1, 2, 2, 3]))]
        if kind == "Tensor":
            return self.tensor()
        if kind == "int":
            return rng.choice(_INTEGERS if rng.random() < 0.3 else [-1, 0, 1, 2])
        if kind in ("number", "float"):
            return rng.choice(_NUMBERS)
        return {
            "complex": 1j,
            "bool": rng.random() < 0.5,
            "str": rng.choice(_TEXTS),
            "Generator": torch.Generator().manual_seed(1),
        }.get(kind)

    def anything(self) -> Any:
        """For what has no schema."""
        kinds = "Tensor Tensor int float bool str List[int] List[Tensor]".split()
        return self.of(self._rng.choice(kinds))


def methods() -> dict[str, Any]:
    """The makers of Tensor methods, as a rule reads them; None reads the method."""
    found: dict[str, Any] = dict(
        tables_by_type(Writing(Context(), frozenset()))[torch.Tensor]
    )
    return found


def names() -> list[str]:
    """All that is called: dotted paths, Tensor methods with a dot before, indexing."""
    modules = ("torch", "torch.fft", "torch.linalg", "torch.nn.functional")
    paths = [
        f"{module}.{name}"
        for module in modules
        for name in vocabulary.MODULES[module]
        if callable(PATHS.get(f"{module}.{name}"))
        and not isinstance(PATHS[f"{module}.{name}"], type)
    ]
    return [*paths, *(f".{name}" for name in vocabulary.TENSOR), "[]", "[]="]


def _schemas(name: str) -> list[Any]:
    bare = name.lstrip(".")
    for prefix, instead in _OPERATORS.items():
        if name.startswith(prefix):
            bare = instead + name.removeprefix(prefix)
            break
    found = torch._C._jit_get_schemas_for_operator(f"aten::{bare}")
    return [
        schema
        for schema in found
        if not any(argument.is_out for argument in schema.arguments)
        and any("Tensor" in str(argument.type) for argument in schema.arguments[:1])
    ]


def call(name: str, number: int, tell: Callable[[str], object]) -> None:
    """Make one call, often after others whose results it may get.

    Whatever it raises is an answer: only what raises nothing and dies is a fault.

    Args:
        name: of `names`.
        number: which of its calls; name and number decide everything about it.
        tell: is told what is called before it is.
    """
    rng = random.Random(f"{name} {number}")
    results: list[torch.Tensor] = []
    before = rng.choice([0, 0, 0, 1, 1, 2, 4])
    for each in [*(rng.choice(NAMES) for _ in range(before)), name]:
        draw = Arguments(rng, results)
        first, options = _arguments(each, draw, rng)
        tell(f"{number}: {each}({_shown(first)}, {_shown(options)})\n")
        try:
            made = _made(each, first, options, rng, draw)
        except Exception:
            continue
        results += [t for t in _tensors(made) if t.numel() <= _KEPT]


def _arguments(
    name: str, draw: Arguments, rng: random.Random
) -> tuple[list[Any], dict[str, Any]]:
    schemas = _schemas(name)
    options: dict[str, Any] = {}
    if not schemas or rng.random() > 0.9:
        return [draw.tensor(), *(draw.anything() for _ in range(rng.randrange(4)))], {}
    for index, argument in enumerate(rng.choice(schemas).arguments):
        if argument.has_default_value() and rng.random() < 0.6:
            continue
        value = draw.of(str(argument.type))
        options["input" if index == 0 else argument.name] = value
    first = [options.pop("input")] if "input" in options else [draw.tensor()]
    return first, options


def _made(
    name: str,
    first: list[Any],
    options: dict[str, Any],
    rng: random.Random,
    draw: Arguments,
) -> Any:
    if name in ("[]", "[]="):
        key: Any = rng.choice([draw.tensor(), draw.integers(), 0, slice(None)])
        if rng.random() < 0.5:
            key = (key, rng.choice([draw.tensor(), draw.integers(), None, ...]))
        target = draw.tensor()
        if name == "[]":
            return lookups.get_item(target, key)
        Writing(Context(), frozenset()).set_item(draw.tensor(), target, key)
        return target
    if not name.startswith("."):
        if rng.random() < 0.8:
            return PATHS[name](*first, **options)
        # As a source's out= is called: for one result or for several.
        count = rng.choice([1, 1, 1, 2, 3])
        out: Any = draw.tensor() if count == 1 else [draw.tensor() for _ in "..."]
        return lookups.into(PATHS[name], *first, out=out, **options)
    target = first[0] if isinstance(first[0], torch.Tensor) else draw.tensor()
    maker = methods()[name[1:]]
    found = getattr(target, name[1:]) if maker is None else maker(target)
    made = found(*first[1:], **options) if callable(found) else found
    return [made, target]  # a method may have written to it


def _tensors(value: Any) -> list[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        return [value]
    if isinstance(value, (list, tuple)):
        return [each for one in value for each in _tensors(one)]
    return []


def _shown(value: Any) -> str:
    if isinstance(value, torch.Tensor):
        return f"{tuple(value.shape)}{value.stride()}{value.dtype}"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(_shown(each) for each in value)}]"
    if isinstance(value, dict):
        return ", ".join(f"{key}={_shown(each)}" for key, each in value.items())
    return repr(value)[:40]


NAMES = names()
