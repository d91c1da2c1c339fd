"""The facade: what each name of `dux_sandbox.language.vocabulary` is bound to.

Never a module of torch: 478 modules, and from them os and ctypes, are reachable from
`torch` without one underscore.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import torch
from torch.nn.utils import clip_grad_norm_, clip_grad_value_, parameters_to_vector

from dux_sandbox.language import idiom_names, torch_names, vocabulary
from dux_sandbox.runtime import activations, idioms, plain_builtins, tensor_caps
from dux_sandbox.runtime.shapes import broadcast_shape
from dux_sandbox.runtime.standins import Namespace, StandIn, kind_of

# Memory that was never written could hold anything the process held before.
_ZEROED: dict[str, Callable[..., Any]] = {
    "empty": torch.zeros,
    "empty_like": torch.zeros_like,
}


def _norm(
    input: Any,
    p: Any = "fro",
    dim: Any = None,
    keepdim: bool = False,
    dtype: Any = None,
) -> Any:
    # torch.norm takes `out` by position: it could resize a parameter.
    return torch.norm(input, p, dim, keepdim, dtype=dtype)


def _tensordot(a: Any, b: Any, dims: Any = 2) -> Any:
    return torch.tensordot(a, b, dims)


def _broadcast_shapes(*shapes: Any) -> torch.Size:
    listed = [(each,) if isinstance(each, int) else tuple(each) for each in shapes]
    return torch.Size(broadcast_shape(*listed))


def _normalize(input: Any, p: float = 2.0, dim: int = 1, eps: float = 1e-12) -> Any:
    return torch.nn.functional.normalize(input, p, dim, eps)


def _vector_to_parameters(vec: Any, parameters: Any) -> None:
    """As torch's, but copying: torch's rebinds `.data` to slices of the vector."""
    start = 0
    for parameter in parameters:
        part = vec[start : start + parameter.numel()]
        with torch.no_grad():
            parameter.copy_(part.view_as(parameter))
        start += parameter.numel()


def _tensor_class(*arguments: Any) -> Any:
    """`torch.Tensor(data)`, and zeros for `torch.Tensor(2, 3)`."""
    if len(arguments) == 1 and isinstance(arguments[0], torch.Size):
        # torch would hand out memory that was never written, of any size.
        arguments = tuple(arguments[0])
    if all(isinstance(argument, int) for argument in arguments):
        return _functions("torch")["zeros"](*(arguments or (0,)))
    return torch.Tensor(*arguments)


def _parameter(data: Any = None, requires_grad: bool = True) -> Any:
    return torch.nn.Parameter(data, requires_grad)


_CLASSES: dict[str, StandIn] = {
    "torch.Tensor": StandIn(torch.Tensor, _tensor_class),
    "torch.Generator": StandIn(torch.Generator, torch.Generator),
    "torch.Size": StandIn(torch.Size, lambda sizes=(): torch.Size(sizes)),
    "torch.device": StandIn(torch.device, torch.device),
    "torch.dtype": StandIn(torch.dtype, None),
    "torch.nn.Module": StandIn(torch.nn.Module, None),
    "torch.nn.Parameter": StandIn(torch.nn.Parameter, _parameter),
}
_OWN: dict[str, Any] = {
    **_CLASSES,
    "torch.norm": _norm,
    "torch.broadcast_shapes": _broadcast_shapes,
    "torch.tensordot": _tensordot,
    "torch.nn.functional.normalize": _normalize,
    "torch.nn.utils.vector_to_parameters": _vector_to_parameters,
    "torch.nn.utils.parameters_to_vector": parameters_to_vector,
    "torch.nn.utils.clip_grad_norm": clip_grad_norm_,
    "torch.nn.utils.clip_grad_norm_": clip_grad_norm_,
    "torch.nn.utils.clip_grad_value_": clip_grad_value_,
    **idioms.PATHS,
    "torch.nn.parameter.Parameter": _CLASSES["torch.nn.Parameter"],
}
# Made of names of another module.
_LATER = frozenset(f"torch.nn.{name}" for name in idiom_names.STATELESS)
_PLAIN_MODULES: dict[str, dict[str, Any]] = {
    "math": plain_builtins.MATH,
    "typing": plain_builtins.TYPING | idioms.TYPING,
    "typing_extensions": plain_builtins.TYPING | idioms.TYPING,
    "collections": plain_builtins.COLLECTIONS
    | plain_builtins.COLLECTIONS_ABC
    | idioms.COLLECTIONS,
    "collections.abc": plain_builtins.COLLECTIONS_ABC,
    "functools": plain_builtins.FUNCTOOLS | idioms.FUNCTOOLS,
    "itertools": plain_builtins.ITERTOOLS,
    "abc": idioms.ABC,
    "dataclasses": idioms.DATACLASSES,
    "logging": idioms.LOGGING,
    "warnings": idioms.WARNINGS,
    "torch._dynamo": idioms.DYNAMO,
    "torch._dynamo.utils": idioms.DYNAMO_UTILS,
    "torch._utils": idioms.UTILS,
    "torch.amp": idioms.AMP,
    "torch.autograd": idioms.AUTOGRAD,
    "torch.compiler": idioms.COMPILER,
    "torch.cpu": {},
    "torch.cpu.amp": idioms.AMP,
    "torch.cuda": idioms.CUDA,
    "torch.cuda.amp": idioms.AMP,
    "torch.jit": idioms.JIT,
    "torch.sparse": idioms.SPARSE,
    "torch.utils": {},
    "torch.utils._foreach_utils": idioms.FOREACH_UTILS,
}


def _functions(module: str) -> dict[str, Any]:
    """The names of one module of torch, capped where they build tensors.

    A name that this version of torch lacks is left out.
    """
    real = importlib.import_module(module)
    found: dict[str, Any] = {}
    for name in vocabulary.MODULES[module]:
        path = f"{module}.{name}"
        value = _OWN.get(path)
        if value is None and module == "torch":
            value = _ZEROED.get(name)
        value = getattr(real, name, None) if value is None else value
        if value is None or path in vocabulary.MODULES or path in _LATER:
            continue
        check = tensor_caps.FUNCTIONS.get(path)
        found[name] = value if check is None else tensor_caps.capped(value, check)
    return found


def _assemble() -> dict[str, Any]:
    """Every dotted path of the vocabulary that exists here, with its object."""
    contents: dict[str, dict[str, Any]] = {}
    for module in vocabulary.MODULES:
        plain = _PLAIN_MODULES.get(module)
        contents[module] = dict(plain) if plain is not None else _functions(module)
    contents["torch.nn"] |= activations.made_of(contents["torch.nn.functional"])
    spaces = {name: Namespace(name, inside) for name, inside in contents.items()}
    for path, space in spaces.items():
        above, _, name = path.rpartition(".")
        if above:
            contents[above][name] = space
    paths: dict[str, Any] = dict(spaces)
    for module, inside in contents.items():
        paths.update({f"{module}.{name}": value for name, value in inside.items()})
    return paths


PATHS: dict[str, Any] = _assemble()
# The classes of torch a rule may build on, by exact identity.
BASES: frozenset[type] = frozenset(
    getattr(torch.optim, name)
    for name in torch_names.BASES
    if hasattr(torch.optim, name)
)
_PLAIN = torch.optim.Optimizer


def is_plain(kind: type) -> bool:
    """Whether a class is built on no optimizer of torch but the plain one.

    Only such a class may have names of its own that torch's other optimizers use.
    """
    return _PLAIN in kind.__mro__ and not any(
        each in BASES and each is not _PLAIN for each in kind.__mro__
    )


_BY_KIND: dict[type, StandIn] = {kind_of(found): found for found in _CLASSES.values()}


def stand_in_for(kind: type) -> Any:
    """What `type(x)` gives a rule for a class that is not its own, or None."""
    return _BY_KIND.get(kind) or plain_builtins.stand_in_for(kind)
