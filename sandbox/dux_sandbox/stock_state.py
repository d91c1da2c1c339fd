"""What the steps of torch's own optimizers take on trust of their state.

A fused kernel reads and writes as many numbers of a state tensor as its parameter has,
whatever there are. What comes from a rule or from a checkpoint is looked at first.
"""

from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import torch

# By the names that torch's optimizers give them.
_LIKE_THE_PARAMETER = {
    "ASGD": "ax",
    "Adadelta": "square_avg acc_delta",
    "Adagrad": "sum",
    "Adam": "exp_avg exp_avg_sq max_exp_avg_sq",
    "Adamax": "exp_avg exp_inf",
    "Muon": "momentum_buffer",
    "NAdam": "exp_avg exp_avg_sq",
    "RAdam": "exp_avg exp_avg_sq",
    "RMSprop": "square_avg momentum_buffer grad_avg",
    "Rprop": "prev step_size",
    "SGD": "momentum_buffer",
    "SparseAdam": "exp_avg exp_avg_sq",
}
# These are there from the second step on, the others only with an option.
_ALWAYS = frozenset(
    "ax square_avg acc_delta sum exp_avg exp_avg_sq exp_inf prev step_size".split()
)
_NUMBERS_OF = {name: ["step"] for name in _LIKE_THE_PARAMETER | {"Adafactor": ""}}
_NUMBERS_OF |= {"SGD": [], "Muon": []}
_NUMBERS_OF |= {"ASGD": ["step", "eta", "mu"], "NAdam": ["step", "mu_product"]}
_NUMBERS = "step eta mu mu_product".split()
_FLAT = "d prev_flat_grad".split()
_LISTS_OF_FLAT = "old_dirs old_stps".split()
_TENSOR = torch.Tensor


def is_torchs(module: str) -> bool:
    """Whether it is the name of a module of torch's optimizers.

    >>> is_torchs("torch.optim"), is_torchs("torch.optim.adam"), is_torchs("torch")
    (True, True, False)
    """
    return f"{module}.".startswith("torch.optim.")


def check_state(optimizer: torch.optim.Optimizer) -> None:
    """Refuse a state that a step of torch's own would read beyond its end.

    Raises:
        ValueError: naming the entry, what it is and what it must be.
    """
    names, kinds = _kinds(type(optimizer))
    state = optimizer.state
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            entry = state.get(parameter) if isinstance(parameter, _TENSOR) else None
            if isinstance(entry, dict):
                _check_entry(names, kinds, entry, parameter, optimizer.param_groups)


def check_loaded(
    optimizer: torch.optim.Optimizer,
    entries: Iterable[tuple[Any, Any]],
    *,
    fused: bool = False,
) -> None:
    """Refuse what a checkpoint holds for a step of torch's own and is not for it.

    What an optimizer keeps whose step is its own is its own business, unless the
    fused kernels of the one that it is a kind of are asked for.

    Args:
        optimizer: whose step it is; left as it is.
        entries: its state to be, by parameter.
        fused: the checkpoint asks for fused kernels.

    Raises:
        ValueError: naming the entry, what it is and what it must be.
    """
    names, kinds = _kinds(type(optimizer))
    groups = {id(p): group for group in optimizer.param_groups for p in group["params"]}
    fused = fused or any(group.get("fused") for group in optimizer.param_groups)
    if not kinds or not (fused or _steps_as_torch_does(optimizer)):
        return
    for parameter, entry in entries:
        if id(parameter) not in groups:
            continue
        if not isinstance(entry, dict):
            raise ValueError(
                f"state[p] is a {type(entry).__name__}; torch's step wants a dict"
            )
        for value in entry.values():
            if isinstance(value, _TENSOR) and value.is_meta:
                raise ValueError("state[p] holds a tensor without data")
        _check_entry(names, kinds, entry, parameter, optimizer.param_groups)
        if entry and _steps_as_torch_does(optimizer):
            _require_whole(names, kinds, entry)
        if fused:
            _require_room(names, entry, parameter)


def _kinds(kind: type) -> tuple[tuple[str, ...], frozenset[str]]:
    """Names of what is of the parameter's make, and torch's classes that it is of."""
    kinds = frozenset(
        each.__name__
        for each in kind.__mro__
        if is_torchs(each.__module__) and each is not torch.optim.Optimizer
    )
    return _names(kinds), kinds


@lru_cache(maxsize=64)
def _names(kinds: frozenset[str]) -> tuple[str, ...]:
    names = " ".join(_LIKE_THE_PARAMETER.get(each, "") for each in sorted(kinds))
    return tuple(dict.fromkeys(names.split()))


def _steps_as_torch_does(optimizer: torch.optim.Optimizer) -> bool:
    # What torch wraps round a step keeps the name of the module.
    return is_torchs(type(optimizer).step.__module__)


def _check_entry(
    names: tuple[str, ...],
    kinds: frozenset[str],
    entry: dict[Any, Any],
    parameter: torch.Tensor,
    groups: list[dict[str, Any]],
) -> None:
    for name in names:
        value = entry.get(name)
        if value is not None:
            _require_make(name, value, parameter, parameter.shape)
    for name in _NUMBERS:
        value = entry.get(name)
        if isinstance(value, _TENSOR) and value.numel() != 1:
            raise _unlike(name, value, "one number")
    if "Adafactor" in kinds:
        _check_factors(entry, parameter)
    if "LBFGS" in kinds:
        _check_flat(entry, groups)


def _check_factors(entry: dict[Any, Any], parameter: torch.Tensor) -> None:
    shape = list(parameter.shape)
    wanted = {"variance": shape}
    if len(shape) > 1:
        wanted["row_var"] = [*shape[:-1], 1]
        wanted["col_var"] = [*shape[:-2], 1, shape[-1]]
    for name, make in wanted.items():
        if entry.get(name) is not None:
            _require_make(name, entry[name], parameter, torch.Size(make))


def _check_flat(entry: dict[Any, Any], groups: list[dict[str, Any]]) -> None:
    parameters = [p for group in groups for p in group["params"]]
    size = sum(p.numel() * (2 if p.is_complex() else 1) for p in parameters)
    for name in _FLAT:
        if entry.get(name) is not None:
            _require_make(name, entry[name], None, torch.Size([size]))
    for name in _LISTS_OF_FLAT:
        for value in entry.get(name) or ():
            _require_make(name, value, None, torch.Size([size]))


def _require_make(
    name: str, value: Any, parameter: torch.Tensor | None, shape: torch.Size
) -> None:
    if not isinstance(value, _TENSOR) or value.shape != shape:
        raise _unlike(name, value, tuple(shape))
    wanted_complex = parameter is not None and parameter.is_complex()
    if value.is_complex() is not wanted_complex or not (
        value.is_floating_point() or value.is_complex()
    ):
        wanted = "a floating dtype" if parameter is None else parameter.dtype
        raise _unlike(name, value, wanted)


def _require_whole(
    names: tuple[str, ...], kinds: frozenset[str], entry: dict[Any, Any]
) -> None:
    """A step finds an entry whole or makes it; it looks at no single name."""
    wanted = [name for name in names if name in _ALWAYS]
    for kind in sorted(kinds):
        wanted += _NUMBERS_OF.get(kind, [])
    lacking = [name for name in wanted if entry.get(name) is None]
    if lacking:
        raise ValueError(
            f"state[p] lacks {', '.join(lacking)}; torch's step wants it whole or empty"
        )
    for name in _NUMBERS:
        value = entry.get(name, 0)
        if isinstance(value, _TENSOR):
            value = value.item()
        if type(value) not in (int, float):
            raise _unlike(name, entry[name], "one real number")


def _require_room(
    names: tuple[str, ...], entry: dict[Any, Any], parameter: torch.Tensor
) -> None:
    """The fused kernels read on from the first number, whatever the strides."""
    for name in names:
        value = entry.get(name)
        if value is None or value.layout is not torch.strided:
            continue
        room = value.untyped_storage().nbytes() // value.itemsize
        if room - value.storage_offset() < value.numel():
            raise _unlike(name, value, "a memory of its own for every number")
        if value.dtype not in (parameter.dtype, torch.bfloat16):
            raise _unlike(name, value, parameter.dtype)


def _unlike(name: str, value: Any, wanted: object) -> ValueError:
    found: object = type(value).__name__
    if isinstance(value, _TENSOR):
        found = f"{tuple(value.shape)} {value.dtype}"
    return ValueError(
        f"state[p][{name!r}] is {found}; torch's step wants {wanted}; keep a tensor of "
        f"another make under another name"
    )
