"""The elements that would stand at some places of a tensor if it were sorted."""

import math

import torch

LARGE = 1 << 15
"""Elements below which torch is asked for them as it is."""
_SAMPLE = 1 << 13
_DEVIATIONS = 4.0


def at_ranks(tensor: torch.Tensor, ranks: torch.Tensor) -> torch.Tensor:
    """What a sorted tensor has at these places, what is no number last.

    Args:
        tensor: `(elements,)`.
        ranks: `(places,)` of int64.

    Raises:
        TypeError: they are something else.
        ValueError: a place that is not there.

    >>> at_ranks(torch.tensor([3.0, 1.0, 2.0]), torch.tensor([2, 0]))
    tensor([3., 1.])
    """
    if tensor.ndim != 1 or ranks.ndim != 1 or ranks.dtype != torch.int64:
        raise TypeError("ranks of what is no row of elements")
    if tensor.is_meta:
        return tensor.new_empty(ranks.shape)
    places = ranks.tolist()
    if not all(0 <= each < len(tensor) for each in places):
        raise ValueError(f"a rank of {len(tensor)} that is not there")
    if not tensor.is_floating_point() or tensor.device.type != "cpu":
        return tensor.sort().values[ranks]
    return torch.stack([at_rank(tensor, each) for each in places])


def at_rank(tensor: torch.Tensor, rank: int) -> torch.Tensor:
    """The same for one place of a row of floats: `kthvalue`, but for its index.

    All but a few elements are told to be smaller or larger by two of a sample. If they
    were chosen badly torch is asked: the result is the same.
    """
    many = len(tensor)
    if many < LARGE:
        return tensor.kthvalue(rank + 1).values
    sample = tensor[:: many // _SAMPLE].sort().values
    size = len(sample)
    at, part = rank * size / many, rank / many
    off = _DEVIATIONS * math.sqrt(size * part * (1 - part)) + 4
    low, high = math.floor(at - off), math.ceil(at + off)
    most = sample[min(max(round(at), 0), size - 1)]
    if sample[max(low, 0)] == sample[min(high, size - 1)]:
        # Many are equal, as where most of a gradient is zero.
        begin = int((tensor < most).count_nonzero())
        if begin <= rank < begin + int((tensor == most).count_nonzero()):
            return most.clone()
    between = tensor <= (sample[high] if high < size else math.inf)
    below = 0
    if low >= 0:
        is_below = tensor < sample[low]
        below = int(is_below.count_nonzero())
        between &= ~is_below
    middle = tensor[between]
    if not 0 <= rank - below < len(middle):
        return tensor.kthvalue(rank + 1).values
    return middle.kthvalue(rank - below + 1).values


def median(tensor: torch.Tensor) -> torch.Tensor:
    """`tensor.median()` of floats, the lower one; NaN where an element is."""
    flat = tensor.reshape(-1)
    if len(flat) < LARGE or bool(flat.sum().isnan()):
        return tensor.median()
    return at_rank(flat, (len(flat) - 1) // 2)
