"""What a rule may say: the one table that the policy, the prompt and the docs share.

`python -m dux_sandbox.language.vocabulary` prints the page `docs/language.md`.
Torch-free, so that a static check is quick to import.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from dux_sandbox.language import idiom_names, python_names, torch_names
from dux_sandbox.language.contract_text import CONTRACT

# Caps before parsing. CPython's parser is safe to about 200 brackets and crashes or
# crawls far beyond; no optimizer that anybody wrote comes near these.
SOURCE_BYTES = 65_536
SOURCE_LINES = 2_000
LINE_TOKENS = 2_000
BRACKET_DEPTH = 40
PREFIX_RUN = 20
TREE_DEPTH = 90

# Caps on the tree, so that judging and compiling a source takes a fraction of a second
# whatever it holds. The densest of torch's own optimizers has 2,900 nodes in 40 kB.
TREE_NODES = 15_000
COMPILED_NODES = 45_000  # with the copies that the compiler makes of `finally`
OPEN_HANDLERS = 16  # of try, with and comprehensions: at 21 Python 3.12 crashes
CLASSES = 100
ATTRIBUTE_CHAIN = 30  # a.b.c...
PATTERN_NAMES = 20
SCOPES_TIMES_NAMES = 1_000_000  # the compiler copies a set of names for each scope

# Caps while a rule runs.
ELEMENTS = 2**28  # of one tensor a rule asks for: 1 GiB in float32
ITEMS = 1_000_000  # of one list, string, range
ITEMS_IN_A_STEP = 64_000_000  # of all lists and strings that one step makes
YIELDED = 8_000_000  # items that all generators give in one step
TURNS = 100_000  # of all `while` loops in one step
INTEGER_BITS = 4_096  # of one Python integer
FORMAT_WIDTH = 200  # width or precision of one formatted value
LIST_ELEMENTS = 1_000_000  # of one tensor turned into a list
DIMENSIONS = 64  # of one tensor: what torch's reductions take
TENSORS_AT_ONCE = 100_000  # that one call makes of one tensor: rows, pieces
MULTIPLICATIONS = 2**41  # of one matrix product or decomposition
_LONGEST_NAME = 40  # that is compared with those of the table
_LETTERS_MORE = 4
NESTING = 50  # of containers and of iterators, one inside the other
GENERATORS = 1_000  # that a rule holds at once
CLASSES_MADE = 1_000  # while a rule runs

_TENSOR = (
    *torch_names.ELEMENTWISE,
    *torch_names.WHOLE_TENSOR,
    *torch_names.IN_PLACE,
    *torch_names.TENSOR_ONLY,
    *torch_names.SPARSE,
)
_OF_TORCH = (
    *torch_names.ELEMENTWISE,
    *torch_names.WHOLE_TENSOR,
    *torch_names.FACTORIES,
    *torch_names.TORCH_ONLY,
    *torch_names.FOREACH,
    *torch_names.CONSTANTS,
)

# Modules a source may import, and the names it finds there. Submodules are listed like
# any other name.
MODULES: dict[str, tuple[str, ...]] = {
    "torch": (
        *sorted(
            {
                *_OF_TORCH,
                *idiom_names.NO_KERNELS,
                *idiom_names.NO_TRANSFORMS,
                *"_dynamo _utils amp autocast autograd compile compiler cpu".split(),
                *"cuda fft jit linalg nn optim sparse utils".split(),
            }
        ),
    ),
    "torch._dynamo": (*idiom_names.DYNAMO, "utils"),
    "torch._dynamo.utils": tuple(idiom_names.DYNAMO_UTILS),
    "torch._utils": tuple(idiom_names.UTILS),
    "torch.amp": ("autocast",),
    "torch.autograd": tuple(idiom_names.AUTOGRAD),
    "torch.compiler": tuple(idiom_names.COMPILER),
    "torch.cpu": ("amp",),
    "torch.cpu.amp": ("autocast",),
    "torch.cuda": (*idiom_names.CUDA, "amp"),
    "torch.cuda.amp": ("autocast",),
    "torch.fft": tuple(torch_names.FFT),
    "torch.jit": tuple(idiom_names.JIT),
    "torch.linalg": tuple(sorted(torch_names.LINALG)),
    "torch.nn": (
        *idiom_names.STATELESS,
        *("Module", "Parameter", "functional", "init", "utils"),
    ),
    "torch.nn.functional": tuple(sorted(torch_names.FUNCTIONAL)),
    "torch.nn.init": tuple(idiom_names.NN_INIT),
    "torch.nn.parameter": ("Parameter",),
    "torch.nn.utils": tuple(sorted([*torch_names.NN_UTILS, "clip_grad"])),
    "torch.nn.utils.clip_grad": ("clip_grad_norm_", "clip_grad_value_"),
    "torch.optim": (*torch_names.BASES, "adam", "optimizer"),
    "torch.optim.adam": ("Adam", "adam"),
    "torch.optim.optimizer": (
        "Optimizer",
        *idiom_names.OPTIMIZER_TYPES,
        *idiom_names.OPTIMIZER_HELPERS,
        *idiom_names.OPTIMIZER_DOCS,
        "required",
    ),
    "torch.sparse": tuple(idiom_names.SPARSE_MADE),
    "torch.utils": ("_foreach_utils",),
    "torch.utils._foreach_utils": tuple(idiom_names.FOREACH_UTILS),
    "math": tuple(python_names.MATH),
    "typing": tuple(python_names.TYPING),
    "typing_extensions": tuple(python_names.TYPING),
    "collections": tuple(python_names.COLLECTIONS),
    "collections.abc": tuple(python_names.COLLECTIONS_ABC),
    "functools": tuple(python_names.FUNCTOOLS),
    "itertools": tuple(python_names.ITERTOOLS),
    "abc": tuple(idiom_names.ABC),
    "dataclasses": tuple(idiom_names.DATACLASSES),
    "logging": tuple(idiom_names.LOGGING),
    "warnings": tuple(idiom_names.WARNINGS),
}

TENSOR: tuple[str, ...] = tuple(sorted({*_TENSOR}))
BUILTINS: tuple[str, ...] = tuple(python_names.BUILTINS)
SUPER: tuple[str, ...] = tuple(torch_names.SUPER)

# One flat table of everything, as the prompt shows it.
ALLOWED: dict[str, tuple[str, ...]] = {
    **MODULES,
    "Tensor": TENSOR,
    "builtins": BUILTINS,
    "self": tuple(sorted(torch_names.OPTIMIZER_READABLE)),
    "super()": SUPER,
    "Logger": tuple(idiom_names.LOGGER_METHODS),
    **{name: tuple(sorted(found)) for name, found in python_names.METHODS.items()},
}

# Any attribute whose name is in none of these is refused before anything runs.
ATTRIBUTES: frozenset[str] = frozenset(
    name
    for key, names in ALLOWED.items()
    if key != "builtins"
    for name in (*names, *python_names.RESULT_FIELDS)
)

NO_MODEL = "a rule has no model: use group['params'], p.ndim and p.shape"
NO_HOOKS = (
    "a rule has no model and no hooks, and what layers are given cannot be had of "
    "p.grad: precondition by gradients, as Shampoo and SOAP do"
)

# What to write instead, by the name that was found. Said to a language model.
INSTEAD: dict[str, str] = {
    "numpy": "compute with torch and math; tensors never leave torch",
    "np": "compute with torch and math; tensors never leave torch",
    "scipy": "compute with torch and torch.linalg",
    "random": "import it at the top of the file, or draw from a generator: "
    "self.rng = torch.Generator().manual_seed(0)",
    "copy": "import it at the top of the file, or copy a tensor with .clone(), a dict "
    "with dict(d), a list with list(x)",
    "os": "leave it out; a rule touches no files, processes or environment",
    "sys": "leave it out; a rule touches no files, processes or environment",
    "time": "count steps: self.t += 1",
    "enum": "use plain strings or integers",
    "Counter": "use a dict",
    "operator": "import it at the top of the file, or write the operator itself",
    **dict.fromkeys(
        """parameters named_parameters modules named_modules children weight bias
        kernel_size padding training""".split(),
        NO_MODEL,
    ),
    **dict.fromkeys(
        """register_forward_hook register_forward_pre_hook register_backward_hook
        register_full_backward_hook register_full_backward_pre_hook""".split(),
        NO_HOOKS,
    ),
    "grad_fn": "leave it out; gradients have no graph here",
    "func": "call loss = closure() where a new gradient is needed",
    "_functional": "write the update itself",
    "contextlib": "use with torch.no_grad(): or with torch.enable_grad():",
    "set_grad_enabled": "use with torch.no_grad(): or with torch.enable_grad():",
    "inference_mode": "use torch.no_grad()",
    "manual_seed": "draw from a generator: torch.Generator().manual_seed(0)",
    "backward": "call loss = closure(); it runs the backward pass itself",
    "autocast": "use x.float() or x.to(torch.bfloat16)",
    "amp": "use x.float() or x.to(torch.bfloat16)",
    "autograd": "use p.grad; call loss = closure() where a new gradient is needed",
    "torch.autograd.*": "take it out; a rule has no graph: use p.grad, call "
    "loss = closure() where a new gradient is needed, and for the Hessian torch."
    "autograd.grad([p.grad for p in params], params, grad_outputs=vectors), with "
    "vectors that depend on no gradient: detach() them",
    "register_post_accumulate_grad_hook": "do the work in step(); p.grad is there",
    "requires_grad_": "leave it out; the training loop decides what is trained",
    "data_ptr": "use the tensor itself as the key: self.state[p]",
    "set_": "use .copy_(other)",
    "resize_": "build a new tensor of the shape you need",
    "resize_as_": "build a new tensor of the shape you need",
    "symeig": "use torch.linalg.eigh(x); torch has no symeig any more",
    "t_": "use .t()",
    "transpose_": "use .transpose(a, b)",
    "squeeze_": "use .squeeze()",
    "unsqueeze_": "use .unsqueeze(dim)",
    "as_strided": "use .view, .reshape, .transpose or slicing",
    "storage": "use the tensor itself",
    "untyped_storage": "use the tensor itself",
    "apply_": "use tensor operations, for example torch.where",
    "map_": "use tensor operations, for example torch.where",
    "register_hook": "do the work in step()",
    "share_memory_": "leave it out",
    "pin_memory": "leave it out",
    "format_map": 'use an f-string: f"{value:.3f}"',
    "save": "keep what must last in self.state[p]; it is saved for you",
    "load": "keep what must last in self.state[p]; it is restored for you",
    "cuda": "use p.device and torch.zeros_like(p)",
    "distributed": "leave it out; one process trains",
    "utils": "use torch.nn.utils.clip_grad_norm_, or plain tensor operations",
    "lr_scheduler": "compute the learning rate inside step() from a step count",
    "__dict__": "name the attributes you need",
    "__class__": "use type(x), or self.__class__.__name__",
    "open": "leave it out; a rule touches no files",
    "eval": "write the expression itself",
    "exec": "write the statements themselves",
    "vars": "name the attributes you need",
    "dir": "name the attributes you need",
    "globals": "keep values on self",
    "locals": "keep values in variables",
    "input": "leave it out; nobody answers",
    "bytes": "use strings or integers",
    "bytearray": "use a list of integers",
    "memoryview": "use tensor slicing",
    "BaseException": "except Exception:",
    "SystemExit": "raise ValueError(...) or return",
    "KeyboardInterrupt": "except Exception:",
    "GeneratorExit": "except Exception:",
    "breakpoint": "leave it out",
    "__import__": "write an import statement at the top",
    "delattr": "write del self.name",
}


def instead_of(name: str, default: str = "") -> str:
    """What to write where `name` was found; `default` where nothing better is known."""
    return INSTEAD.get(name, default)


def nearest(name: str, known: Iterable[str]) -> str:
    """`use a, b or c`, of the names that look like this one; "" where none does.

    >>> nearest("addcmull", TENSOR)
    'use addcmul or addcmul_'
    """
    if len(name) > _LONGEST_NAME:
        return ""
    # A comparison is dear, and who mistypes a name seldom mistypes its first letter.
    alike = [
        each
        for each in known
        if each[0] == name[0] and abs(len(each) - len(name)) <= _LETTERS_MORE
    ]
    found = difflib.get_close_matches(name, alike, n=3, cutoff=0.7)
    *others, last = found or [""]
    return f"use {', '.join(others)} or {last}" if others else last and f"use {last}"


_DENIED = """
- files, the network, processes, the environment, clocks, threads
- other modules than those above, but `copy`, `heapq`, `operator`, `random`,
  `statistics` and `torch.optim._functional` at the top of a file: `copy.deepcopy`,
  `operator.mul`, `random.Random`, `statistics.median` and more are written out as
  functions of this language; random numbers are drawn as `torch.rand` draws them
- `from x import *`, but of those modules, at the top of a file
- names with two leading underscores, save `__init__`, `__repr__` and `__str__`
  (accepted and left out), `__setstate__`, `__call__` of a helper class,
  `x.__class__.__name__`
- hooks, storages, `.numpy()`, `.data_ptr()`, `.resize_()`, `.set_()`
- global modes: default dtype and device, `inference_mode`, `set_grad_enabled` (of a
  `with` block or a function, with True or False written there, it is read); seeds of
  the process: `torch.manual_seed` in a step seeds generators of the rule's own, which
  draw the same numbers
- `.backward()` and `torch.autograd`, but for what stands above: a closure does the
  backward pass
- `async`, `await`, `except*`, class patterns in `match`, class keywords, class
  decorators, `yield` inside `with` or `lambda`, and `return`, `break` or
  `continue` in `finally`
- writing `p.grad = None`, `p.requires_grad = False` (True is left out), `self.state`,
  `self.param_groups`, `self.defaults` (but before torch's constructor is called), or
  the parameters of a group; a rule around another optimizer may write
  `self.param_groups = self.inner.param_groups`, which are the same
""".strip()


def _caps() -> list[tuple[str, str]]:
    """What is bounded, and by what."""
    return [
        ("source", f"{SOURCE_BYTES} bytes, {SOURCE_LINES} lines"),
        ("nested brackets", f"{BRACKET_DEPTH}"),
        ("nested expressions and blocks", f"{TREE_DEPTH}"),
        ("names, numbers and operators", f"{TREE_NODES}"),
        ("classes", f"{CLASSES}"),
        ("elements of a tensor the rule asks for", f"{ELEMENTS}"),
        ("dimensions of a tensor", f"{DIMENSIONS}"),
        ("tensors that one call makes of one tensor", f"{TENSORS_AT_ONCE}"),
        ("multiplications of one matrix product on a CPU", f"{MULTIPLICATIONS}"),
        ("items of a list, string or range", f"{ITEMS}"),
        ("items of all lists and strings that one step makes", f"{ITEMS_IN_A_STEP}"),
        ("items that generators give in one step", f"{YIELDED}"),
        ("containers or iterators one inside the other", f"{NESTING}"),
        ("generators at once", f"{GENERATORS}"),
        ("classes made while it runs", f"{CLASSES_MADE}"),
        ("turns of `while` in one step", f"{TURNS}"),
        ("bits of a Python integer", f"{INTEGER_BITS}"),
        ("width in a format", f"{FORMAT_WIDTH}"),
    ]


def page() -> str:
    """The page `docs/language.md`, whole, ending in a newline."""
    lines = [
        "# The language of a rule",
        "",
        "Generated by `python -m dux_sandbox.language.vocabulary`; do not edit.",
        "A source is Python, less what could reach beyond its tensors. What is not",
        "listed here is refused, by name before anything runs and by exact type",
        "while it runs.",
        "",
        "## The contract",
        "",
        CONTRACT,
        "",
        "## Caps",
        "",
        "| what | at most |",
        "| --- | --- |",
        *(f"| {what} | {most} |" for what, most in _caps()),
        "",
        "## Never",
        "",
        _DENIED,
        "",
        "## Names",
        "",
        "Attributes that the source itself defines are always its own to use.",
        "",
    ]
    for key, names in ALLOWED.items():
        title = key if key in MODULES or key in ("builtins", "super()") else f"of {key}"
        lines += [f"### {title}", "", " ".join(f"`{name}`" for name in names), ""]
    return "\n".join(lines).rstrip() + "\n"


if __name__ == "__main__":
    print(page(), end="")
