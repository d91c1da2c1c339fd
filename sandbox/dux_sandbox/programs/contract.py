"""What a program must define, judged by its syntax tree; nothing of it runs.

A program is full Python: the jail is the wall round it, and not this check, which
saves an evaluation where it is known before that one would fail.
"""

import ast
import itertools
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from dux_sandbox.findings import Finding
from dux_sandbox.language.before_parsing import limits_passed
from dux_sandbox.language.bindings import levels
from dux_sandbox.language.hidden_characters import hidden_character
from dux_sandbox.language.quiet_parsing import quiet_parser
from dux_sandbox.language.tree_size import too_deep
from dux_sandbox.language.vocabulary import TREE_DEPTH
from dux_sandbox.programs import hparams

FIT_PREDICT = "fit_predict"
PARTS = ("build", "make_optimizer", "HPARAMS")
WANTED = (
    "build(n_features), make_optimizer(model) and HPARAMS, or "
    "fit_predict(x_train, y_train, x_eval, seed)"
)
_MOST_FINDINGS = 12
# By function: how many arguments it may be given, in places.
_ARGUMENTS = {FIT_PREDICT: (4,), "build": (1, 2), "make_optimizer": (1,)}
_ONE_PROCESS = "a program has one process and one thread"
_Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Contract:
    """What a source was found to be.

    Attributes:
        findings: what is wrong with it; none: it may be run, in the jail.
        entry: `FIT_PREDICT`, or "build" where our loop trains; "" where neither is.
    """

    findings: tuple[Finding, ...]
    entry: str = ""


def examine(source: str) -> Contract:
    """Judge a source by the contract of a program; never raises.

    >>> examine("def fit_predict(x_train, y_train, x_eval, seed): ...").entry
    'fit_predict'
    """
    tree = tree_of(source)
    if isinstance(tree, Finding):
        return Contract((tree,))
    names = set(_bound(tree.body))
    entry = FIT_PREDICT if FIT_PREDICT in names else "build"
    found: list[Finding] = []
    lacking = [name for name in PARTS if name not in names]
    if FIT_PREDICT not in names and lacking:
        said = f"the program defines no {' and no '.join(lacking)}"
        found.append(Finding("contract", None, said, f"define {WANTED}"))
        entry = ""
    found += _of_functions(tree, entry)
    if entry == "build":
        found += _of_hparams(tree)
    found += _impossible(tree)
    found.sort(key=lambda each: each.line or 1 << 30)
    return Contract(tuple(found[:_MOST_FINDINGS]), entry)


def tree_of(source: str) -> ast.Module | Finding:
    """The tree of a source, or why it has none."""
    with quiet_parser():
        passed = limits_passed(source) or hidden_character(source)
        if passed is not None:
            return passed
        try:
            tree = ast.parse(source, feature_version=(3, 11))
        except SyntaxError as error:
            said = f"not valid Python: {error.msg}"
            return Finding("syntax", error.lineno, said, "mend the syntax")
        except (ValueError, RecursionError, MemoryError) as error:
            said = f"not valid Python: {type(error).__name__}"
            return Finding("syntax", None, said, "write it more plainly")
    # Whatever walks a tree from here on does so by recursion.
    deep = next(itertools.islice(levels(tree), TREE_DEPTH, None), None)
    return tree if deep is None else too_deep(getattr(deep[0], "lineno", None))


def _bound(body: list[ast.stmt]) -> Iterator[str]:
    """Names that statements bind, also inside if, try, with and loops."""
    for node in body:
        if isinstance(node, (_Function, ast.ClassDef)):
            yield node.name
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            yield from (each.asname or each.name.split(".")[0] for each in node.names)
        else:
            for field in ("body", "orelse", "finalbody"):
                inner = getattr(node, field, None)
                yield from _bound(inner if isinstance(inner, list) else [])
            for handler in getattr(node, "handlers", ()):
                yield from _bound(handler.body)
            for each in ast.walk(node):
                if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store):
                    yield each.id


def _of_functions(tree: ast.Module, entry: str) -> Iterator[Finding]:
    """Functions that cannot be called as they will be."""
    wanted = [FIT_PREDICT] if entry == FIT_PREDICT else ["build", "make_optimizer"]
    for node in tree.body:
        if not isinstance(node, _Function) or node.name not in wanted:
            continue
        counts = _ARGUMENTS[node.name]
        if isinstance(node, ast.AsyncFunctionDef):
            said = f"{node.name} is async"
            yield Finding("contract", node.lineno, said, f"def {node.name}(...)")
        elif not any(_takes(node.args, count) for count in counts):
            words = " or ".join(map(str, counts))
            said = f"{node.name} does not take {words} arguments in places"
            yield Finding("contract", node.lineno, said, f"define {WANTED}")


def _takes(arguments: ast.arguments, count: int) -> bool:
    places = len(arguments.posonlyargs) + len(arguments.args)
    least = places - len(arguments.defaults)
    named = any(each is None for each in arguments.kw_defaults)
    return least <= count and (count <= places or bool(arguments.vararg)) and not named


def _of_hparams(tree: ast.Module) -> Iterator[Finding]:
    """Entries of a HPARAMS that is written as plain values."""
    for node in tree.body:
        targets = node.targets if isinstance(node, ast.Assign) else []
        if not any(isinstance(t, ast.Name) and t.id == "HPARAMS" for t in targets):
            continue
        assert isinstance(node, ast.Assign)
        try:
            held = ast.literal_eval(node.value)
        except (ValueError, TypeError, MemoryError, RecursionError):
            continue  # computed: it is looked at when it runs
        for said in hparams.problems(held):
            yield Finding("hparams", node.lineno, said, "mend the entry")
        if not isinstance(held, dict):
            continue
        used = Counter(e.value for e in ast.walk(tree) if isinstance(e, ast.Constant))
        for name in held:
            # A program may keep numbers of its own there, and read them itself.
            if name not in hparams.NAMES and used[name] < 2:
                said = f"HPARAMS[{name!r}] is read by nobody"
                instead = f"the names are {', '.join(hparams.NAMES)}"
                yield Finding("hparams", node.lineno, f"{said:.200}", instead)


def _impossible(tree: ast.Module) -> Iterator[Finding]:
    """What is known to fail in the jail."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        if _is_compile(node.func):
            said = "torch.compile starts a compiler, which cannot run here"
            yield Finding("jail", node.lineno, said, "leave it out")
        for each in node.keywords:
            value = _whole(each.value)
            if each.arg == "num_workers" and value not in (None, 0):
                said = f"num_workers={value}: {_ONE_PROCESS}"
                yield Finding("jail", node.lineno, said, "num_workers=0")
            if each.arg == "n_jobs" and value not in (None, 1):
                said = f"n_jobs={value}: {_ONE_PROCESS}"
                yield Finding("jail", node.lineno, said, "n_jobs=1")


def _is_compile(called: ast.expr) -> bool:
    """`torch.compile`."""
    return (
        isinstance(called, ast.Attribute)
        and called.attr == "compile"
        and isinstance(called.value, ast.Name)
        and called.value.id == "torch"
    )


def _whole(node: ast.expr) -> int | None:
    """A whole number as it is written; None for anything else."""
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        value = _whole(node.operand)
        return None if value is None else -value
    known = isinstance(node, ast.Constant) and type(node.value) is int
    return node.value if known else None  # type: ignore[attr-defined]
