"""Fourier transforms: how much they make where a length is asked for.

Without one they make about what they are given.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from dux_sandbox.language import torch_names
from dux_sandbox.runtime.products import check_elements

Check = Callable[..., None]


def _along_one(name: str) -> Check:
    def check(input: Any, n: Any = None, dim: Any = -1, *_: Any, **__: Any) -> None:
        if n is not None and input.ndim:
            others = input.numel() / max(1, input.shape[dim])
            check_elements(max(1.0, others) * abs(float(n)), name)

    return check


def _along_several(name: str, usual: Any) -> Check:
    def check(input: Any, s: Any = None, dim: Any = usual, *_: Any, **__: Any) -> None:
        if s is None:
            return
        sizes = [s] if isinstance(s, int) else list(s)
        places = range(-len(sizes), 0) if dim is None else dim
        taken = [input.shape[at] for at in places]
        others = input.numel() / max(1, math.prod(taken))
        asked = math.prod(abs(float(size)) for size in sizes if size != -1)
        check_elements(max(1.0, others) * asked, name)

    return check


def _frequencies(n: Any, *_: Any, **__: Any) -> None:
    check_elements(abs(float(n)), "fftfreq")


def _check_of(name: str) -> Check | None:
    if name.endswith("freq"):
        return _frequencies
    if name.endswith("shift"):
        return None
    if name.endswith("2"):
        return _along_several(name, (-2, -1))
    return _along_several(name, None) if name.endswith("n") else _along_one(name)


FUNCTIONS: dict[str, Check] = {
    f"torch.fft.{name}": check
    for name in torch_names.FFT
    if (check := _check_of(name)) is not None
}
