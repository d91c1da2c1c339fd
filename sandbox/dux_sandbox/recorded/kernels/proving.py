"""A kernel held against the reference, on small tensors, before it is used."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch

from dux_sandbox.recorded.kernels.chains import Chain, Link, Reduce, Slot
from dux_sandbox.recorded.kernels.kernel import Kernel
from dux_sandbox.recorded.kernels.library import BLOCK
from dux_sandbox.recorded.kernels.targets import CPU
from dux_sandbox.recorded.operations import TABLE, apply
from dux_sandbox.recorded.rows import DTYPES

# Two blocks and a few elements; torch's own loops end evenly, since what they do with
# the rest of a vector is not always the same.
_SIZES = ((BLOCK + 1024, 320), (64, 16))
"""Elements of each strand, and of a row: of the first not all rows are in one block."""
_SIZES_ON_A_DEVICE = ((200 * 320, 320), (9 * 130, 130))
"""So that tiles lie beside each other and below, and a row is no multiple of four."""
_SEED = 20_17
_MOST_DIFFERENT = 0.05
# A comparison that rounding decides may turn a value into another one.
_MOST_FAR = 0.002
_NEAR = 1e-4
_OF_SUMS = 1e-6


def mismatch(kernel: Kernel, device: torch.device = CPU.device) -> str | None:
    """How what a kernel computes on a device differs from the reference, or None.

    Values must be the same to the last bit but for one in twenty, those near but for
    one in five hundred, and reductions the same to 1e-6. On a device near is enough:
    one version of torch contracts products and sums there otherwise than another.
    """
    chain, most = kernel.chain, _MOST_DIFFERENT if device.type == "cpu" else 1.0
    generator = torch.Generator().manual_seed(_SEED)
    numbers = [torch.rand((), generator=generator).item() for _ in range(chain.numbers)]
    others = list(numbers)
    for link in chain.links:
        exponent = dict(link.attributes).get("exponent")
        if exponent is not None and isinstance(link.arguments[1], Slot):
            numbers[link.arguments[1].index] = exponent
            others[link.arguments[1].index] = exponent
        if link.name == "pick" and isinstance(link.arguments[0], Slot):
            others[link.arguments[0].index] = 0.0
    given = (numbers, others)
    sizes = _SIZES if device.type == "cpu" else _SIZES_ON_A_DEVICE
    bound = kernel.bind(*zip(*sizes, strict=True))
    strands = [_strand(chain, *size, generator, device) for size in sizes]
    with torch.no_grad():
        wanted = [
            _reference(chain, leaves, each, *size, device)
            for (leaves, _), each, size in zip(strands, given, sizes, strict=True)
        ]
    pointers = []
    for leaves, own in strands:
        pointers += [each.data_ptr() for each in (*leaves, *own)]
    bound.point(pointers)
    bound.count_with([*numbers, *others])
    bound.call()
    for (leaves, own), (stored, reduced) in zip(strands, wanted, strict=True):
        made = iter(own)
        for store, want in zip(chain.stores, stored, strict=True):
            got = next(made) if store.leaf is None else leaves[store.leaf]
            part, far = _differing(got, want)
            if part > most or far > _MOST_FAR:
                return f"value {store.value} differs in {part:.0%} of its elements"
        for reduce, want in zip(chain.reduces, reduced, strict=True):
            if not _close(next(made), want):
                return f"the {reduce.kind} of value {reduce.value} differs"
    return None


def _strand(
    chain: Chain,
    elements: int,
    width: int,
    generator: torch.Generator,
    device: torch.device,
) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    counts = {None: elements, "row": elements // width, "column": width}
    leaves = [
        _drawn(1 if leaf.single else counts[leaf.along], leaf.dtype, generator)
        for leaf in chain.leaves
    ]
    leaves = [each.to(device) for each in leaves]
    own = [
        torch.empty(elements, dtype=DTYPES[chain.dtype(store.value)], device=device)
        for store in chain.stores
        if store.leaf is None
    ]
    own += [
        torch.empty(
            1 if each.along is None else counts[each.along],
            dtype=DTYPES[each.dtype],
            device=device,
        )
        for each in chain.reduces
    ]
    return leaves, own


def _drawn(elements: int, dtype: str, generator: torch.Generator) -> torch.Tensor:
    """Numbers of all sizes that weights have, most of them positive, as variances."""
    sign = torch.rand(elements, generator=generator) - 0.2
    if dtype == "bool":
        return sign > 0.3
    size = torch.rand(elements, generator=generator, dtype=torch.float64) * 6 - 5
    return (sign.sign() * 10**size).to(DTYPES[dtype])


def _reference(
    chain: Chain,
    leaves: Sequence[torch.Tensor],
    numbers: Sequence[float],
    elements: int,
    width: int,
    device: torch.device,
) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    shapes = {None: (-1, width), "row": (-1, 1), "column": (1, width)}
    values: list[torch.Tensor] = [
        leaf.clone().reshape(() if of.single else shapes[of.along])
        for of, leaf in zip(chain.leaves, leaves, strict=True)
    ]
    for link in chain.links:
        given: list[Any] = [
            numbers[each.index] if isinstance(each, Slot) else values[each]
            for each in link.arguments
        ]
        values.append(_linked(link, given, device))
    shape = (elements // width, width)
    values = [each.expand(shape) for each in values]
    stored = [values[each.value].flatten() for each in chain.stores]
    return stored, [_gathered(each, values[each.value]) for each in chain.reduces]


def _linked(link: Link, given: list[Any], device: torch.device) -> torch.Tensor:
    exponent = dict(link.attributes).get("exponent")
    is_root = link.name == "sqrt" or exponent in (0.5, -0.5)
    # On a device torch has roots of the processor there, as kernels do.
    here = device.type == "cpu"
    if is_root and here and isinstance(given[0], torch.Tensor):
        root = _root(given[0])
        made = root.reciprocal() if exponent == -0.5 else root
        return made.to(given[0].dtype)
    if exponent is not None:
        given = [given[0], exponent]
    if link.name == "expand":
        return torch.as_tensor(given[0])
    attributes: dict[str, Any] = {}
    if link.name == "nan_to_num":
        attributes |= dict(link.attributes)
    if link.name in ("to", "full"):
        attributes["dtype"] = link.dtype
    if link.name == "full":
        attributes["size"] = []
    result: torch.Tensor = apply(TABLE[link.name], given, attributes, device)
    return result


def _root(tensor: torch.Tensor) -> torch.Tensor:
    """The square root, rounded as IEEE says; torch's own is not. At least float32."""
    wide = tensor.double().flatten().tolist()
    made = [math.sqrt(each) if each >= 0 else math.nan for each in wide]
    dtype = torch.promote_types(tensor.dtype, torch.float32)
    root = torch.tensor(made, dtype=torch.float64).reshape(tensor.shape)
    return root.to(dtype)


def _gathered(reduce: Reduce, value: torch.Tensor) -> torch.Tensor:
    """The reduction, and beside it what its error is in proportion to."""
    wide = value.double()
    over = {None: (0, 1), "row": (1,), "column": (0,)}[reduce.along]
    named = "norm" if reduce.kind == "norm2" else reduce.kind
    made: torch.Tensor = getattr(wide, named)(dim=over)
    # What a sum loses is in proportion to the sizes of what it adds.
    is_sum = reduce.kind in ("sum", "mean")
    scale = wide.abs().sum(over) if is_sum else made.abs()
    return torch.stack([made, scale])


def _differing(got: torch.Tensor, want: torch.Tensor) -> tuple[float, float]:
    """The shares of elements that are not the same, and that are not even near."""
    same = (got == want) | (got.isnan() & want.isnan())
    one, other = got.double(), want.double()
    eps = torch.finfo(want.dtype).eps if want.is_floating_point() else 0.0
    near = same | ((one - other).abs() <= (_NEAR + 8 * eps) * other.abs())
    return float((~same).double().mean()), float((~near).double().mean())


def _close(got: torch.Tensor, want: torch.Tensor) -> bool:
    made, scale = want.reshape(2, -1)
    found = got.double()
    step = torch.finfo(got.dtype).eps if got.is_floating_point() else 0.0
    most = (_OF_SUMS + 2 * step) * scale.clamp(min=1e-30)
    # Of half precision a sum may be too large for a number: both are infinite then.
    near = ((found - made).abs() <= most) | (got == made.to(got.dtype))
    return bool((near | (made.isnan() & found.isnan())).all())
