"""What a source may use, as a person would say it; each sentence stands for names.

The whole table has 1,600 names and was 80 % of a first prompt. The policy decides by
that table all the same, and answers a name that it refuses with those that look like
it; a test holds each sentence to the policy.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from dux_sandbox.language import torch_names
from dux_sandbox.language.vocabulary import ALLOWED


@dataclass(frozen=True)
class Sentence:
    """One line of the short text.

    Attributes:
        says: the line; the names in backticks are examples.
        covers: by owner, as in `ALLOWED`, the names that it stands for.
    """

    says: str
    covers: Mapping[str, frozenset[str]]


def _all_of(*owners: str) -> dict[str, frozenset[str]]:
    return {owner: frozenset(ALLOWED[owner]) for owner in owners}


def _both(names: Iterable[str]) -> dict[str, frozenset[str]]:
    """Names of functions of torch and of methods of a tensor, as far as there are."""
    wanted = frozenset(names)
    return {owner: wanted & frozenset(ALLOWED[owner]) for owner in ("torch", "Tensor")}


MAY: tuple[Sentence, ...] = (
    Sentence(
        "imports of `torch`, `math`, `typing`, `collections`, `functools`, "
        "`itertools`, `dataclasses` and `abc` (`logging` and `warnings` go nowhere)",
        _all_of(
            "math",
            "typing",
            "typing_extensions",
            "collections",
            "collections.abc",
            "functools",
            "itertools",
            "abc",
            "dataclasses",
            "logging",
            "warnings",
            "Logger",
            "torch.nn",
            "torch.nn.parameter",
        ),
    ),
    Sentence(
        "arithmetic, comparison, rounding and elementary functions of torch and "
        "tensors, in place too (`mul_`, `add_`, `addcmul_`, `addcdiv_`, `lerp_`, "
        "`clamp_`, `copy_`, `zero_`) and over lists (`torch._foreach_mul_` and kin)",
        {
            **_both([*torch_names.ELEMENTWISE, *torch_names.IN_PLACE]),
            "torch": frozenset([*torch_names.ELEMENTWISE, *torch_names.FOREACH]),
        },
    ),
    Sentence(
        "reductions (`sum`, `mean`, `norm`, `std`, `amax`, `quantile`, `any`), sorting "
        "(`topk`, `sort`), shapes (`view`, `reshape`, `flatten`, `unsqueeze`, "
        "`transpose`, `cat`, `stack`), indexing (`where`, `gather`, `masked_fill`, "
        "`t[i]`), products (`@`, `mm`, `outer`, `einsum`)",
        _both([*torch_names.WHOLE_TENSOR, *torch_names.TORCH_ONLY]),
    ),
    Sentence(
        "new tensors (`zeros_like`, `full`, `eye`, `tensor`, `randn_like`), `clone`, "
        "`detach`, `to`, `float`, `item`, `dtype`, `device`, `shape`, `numel`, `dim`",
        {
            **_both(
                [
                    *torch_names.FACTORIES,
                    *torch_names.TENSOR_ONLY,
                    *torch_names.CONSTANTS,
                    *torch_names.SPARSE,
                ]
            ),
            **_all_of("Size", "device", "dtype", "finfo", "iinfo", "Generator"),
        },
    ),
    Sentence(
        "`torch.linalg` (`qr`, `svd`, `eigh`, `solve`, `vector_norm`), `torch.fft`, "
        "activations and losses of `torch.nn.functional`, `torch.nn.init` on tensors "
        "of the rule's own, `torch.nn.utils.clip_grad_norm_`",
        _all_of(
            "torch.linalg",
            "torch.fft",
            "torch.nn.functional",
            "torch.nn.init",
            "torch.nn.utils",
            "torch.nn.utils.clip_grad",
        ),
    ),
    Sentence(
        "torch's own optimizers, to build on or to keep inside (`SGD`, `AdamW`), and "
        "what they are written with (`torch.optim.optimizer`)",
        _all_of("torch.optim", "torch.optim.adam", "torch.optim.optimizer")
        | _all_of("self", "super()"),
    ),
    Sentence(
        "plain Python: functions, classes, comprehensions, generators, exceptions, "
        "f-strings, the usual builtins (`zip`, `enumerate`, `isinstance`, `getattr`, "
        "`super`), the methods of `str`, `list`, `dict`, `set`, `tuple`",
        _all_of("builtins", "str", "list", "dict", "set", "tuple", "frozenset")
        | _all_of("int", "float", "complex", "range", "slice", "property", "Exception")
        | _all_of("OrderedDict", "defaultdict", "deque"),
    ),
)

MAY_NOT: tuple[str, ...] = (
    "files, network, clock, threads, any other module (`os`, `sys`, `time`, `numpy`), "
    "`open`, `eval`, `exec`, `globals`",
    "names that begin with two underscores, but for `__init__` and `__setstate__`",
    "another memory or shape for a tensor that is there (`resize_`, `set_`, "
    "`storage`), hooks (`register_hook`), autograd (`backward`), `save` and `load`, "
    "global modes (`set_default_dtype`, `manual_seed`, `set_grad_enabled`)",
)
"""What is refused, in the same words; no name in here is in the table."""
