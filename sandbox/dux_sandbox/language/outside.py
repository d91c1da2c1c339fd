"""What a file says to the world outside, or asks of it: left out, or read as unset.

Some published optimizers write a tensor to disk where it is not finite, stop for a
debugger, or read a switch from the environment. A rule does none of these: such a
statement is left out, and a variable is what it is where nobody has set it.
"""

import ast
import sys
from collections.abc import Callable, Iterable, Iterator

from dux_sandbox.findings import Finding
from dux_sandbox.language.bindings import path_of

PathOf = Callable[[ast.AST], str | None]

_SAID = frozenset(
    """torch.save os.makedirs os.mkdir pdb.set_trace ipdb.set_trace gc.collect
    pdb.post_mortem traceback.print_exc torch._dynamo.reset
    torch.set_float32_matmul_precision sys.stdout.flush sys.stderr.flush
    sys.stdout.write sys.stderr.write""".split()
)
_STREAMS = frozenset(["sys.stdout", "sys.stderr"])
_LIMITS = {
    "sys.maxsize": sys.maxsize,
    "sys.float_info.max": sys.float_info.max,
    "sys.float_info.min": sys.float_info.min,
    "sys.float_info.epsilon": sys.float_info.epsilon,
}
_ASKED = frozenset(["os.environ.get", "os.getenv"])
_CLOCKS = frozenset(
    "time.time time.perf_counter time.monotonic time.process_time".split()
)
# At the top level of a file: of the training, whose random numbers a rule draws from.
_SEEDS = frozenset(
    """random.seed torch.manual_seed torch.cuda.manual_seed torch.cuda.manual_seed_all
    torch.random.manual_seed""".split()
)
# Modules that only such statements are expected to use.
_MODULES = frozenset("os sys pdb ipdb traceback uuid datetime time gc".split())
# What is assigned below these is about compilers and kernels, and the training's.
_SETTINGS = ("torch._dynamo.config.", "torch._inductor.config.", "torch.backends.")
# Attributes of which one is in every such statement that imports no module for it.
_TELLING = frozenset(
    """save config backends reset set_float32_matmul_precision manual_seed
    manual_seed_all seed""".split()
)
_LISTS = ("body", "orelse", "finalbody")


def leave_out(
    tree: ast.Module, aliases: dict[str, str], attributes: set[str]
) -> list[Finding]:
    """Change `tree` in place.

    Args:
        aliases: what its names are imported as.
        attributes: the names of all its attributes.

    Returns:
        A note on each thing that was left out or read; nothing was changed without.
    """
    modules = {path.partition(".")[0] for path in aliases.values()}
    asked_for = _TELLING & attributes
    if not asked_for and _MODULES.isdisjoint(modules):
        return []

    def path(node: ast.AST) -> str | None:
        return path_of(node, aliases)

    asked = _Unset(path)
    asked.visit(tree)
    notes, gone = list(asked.notes), asked.names
    for block in _blocks(tree):
        top = block is tree.body
        said = [each for each in block if _says(each, path, top=top)]
        notes += map(_note, said)
        gone |= _take_out(block, said)
    if gone:
        _drop_what_fed_them(tree, gone, path)
        _drop_imports(tree, gone)
    return notes


def _blocks(tree: ast.Module) -> Iterator[list[ast.stmt]]:
    """Every list of statements, that of the module last."""
    for node in [*ast.walk(tree)][::-1]:
        for name in _LISTS:
            held = getattr(node, name, None)
            if isinstance(held, list):
                yield held


def _take_out(block: list[ast.stmt], some: list[ast.stmt]) -> set[str]:
    """Take statements out of a block; the names that they use."""
    for each in some:
        block.remove(each)
    if some and not block:
        block.append(ast.copy_location(ast.Pass(), some[0]))
    return _loaded(some)


def _says(statement: ast.stmt, path: PathOf, *, top: bool) -> bool:
    if isinstance(statement, ast.Assign) and len(statement.targets) == 1:
        return (path(statement.targets[0]) or "").startswith(_SETTINGS)
    if not isinstance(statement, ast.Expr) or not isinstance(statement.value, ast.Call):
        return False
    called = path(statement.value.func)
    if top and called in _SEEDS:
        return True
    # What a module does to the disk as it is imported is a script's.
    return called in _SAID and not (top and (called or "").startswith("os."))


def _note(statement: ast.stmt) -> Finding:
    said = ast.unparse(statement)[:60]
    message = f"{said}: of the world outside a rule, and nothing to it"
    return Finding("left out", statement.lineno, message, "leave it out")


class _Unset(ast.NodeTransformer):
    """What is asked of the world outside becomes what it is where nothing is there.

    Variables of the environment are not set, and no clock goes.
    """

    def __init__(self, path: PathOf) -> None:
        self._path = path
        self.notes: list[Finding] = []
        self.names: set[str] = set()

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        if isinstance(node.func, ast.Name) and node.func.id == "print":
            self._print_here(node)
        simple = 1 <= len(node.args) <= 2 and not node.keywords
        asked = self._path(node.func)
        if asked in _CLOCKS and not node.args and not node.keywords:
            unset: ast.expr = ast.Constant(0.0)
        elif asked in _ASKED and simple:
            unset = node.args[1] if node.args[1:] else ast.Constant(None)
        else:
            return node
        return self._read_as(unset, node, node.func)

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        limit = _LIMITS.get(self._path(node) or "")
        if limit is None or not isinstance(node.ctx, ast.Load):
            return self.generic_visit(node)
        return self._read_as(ast.Constant(limit), node, node)

    def _read_as(self, unset: ast.expr, node: ast.expr, named: ast.expr) -> ast.AST:
        self.names |= _loaded([named])
        message = f"{ast.unparse(node)[:60]} is read as {ast.unparse(unset)[:20]}"
        instead = "leave it out, or make it an option of __init__"
        self.notes.append(Finding("left out", node.lineno, message, instead))
        return ast.copy_location(unset, node)

    def _print_here(self, node: ast.Call) -> None:
        """`print(..., file=sys.stderr)` is a print."""
        for each in list(node.keywords):
            if each.arg == "file" and self._path(each.value) in _STREAMS:
                node.keywords.remove(each)
                self.names |= _loaded([each.value])
                message = (
                    f"file={ast.unparse(each.value)}: a rule has one place to print"
                )
                instead = "leave file= out"
                self.notes.append(Finding("left out", node.lineno, message, instead))


def _loaded(nodes: Iterable[ast.AST]) -> set[str]:
    return {
        each.id
        for node in nodes
        for each in ast.walk(node)
        if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Load)
    }


def _drop_what_fed_them(tree: ast.Module, gone: set[str], path: PathOf) -> None:
    """`name = f"{uuid4()}.pt"` goes, where only what was left out used it."""
    idle = gone - _loaded([tree])
    for block in _blocks(tree):
        gone |= _take_out(block, [each for each in block if _feeds(each, idle, path)])


def _feeds(statement: ast.stmt, idle: set[str], path: PathOf) -> bool:
    if not isinstance(statement, ast.Assign) or len(statement.targets) != 1:
        return False
    target = statement.targets[0]
    used = {(path(each) or "").partition(".")[0] for each in ast.walk(statement)}
    return isinstance(target, ast.Name) and target.id in idle and bool(used & _MODULES)


def _drop_imports(tree: ast.Module, gone: set[str]) -> None:
    """Imports of such modules that nothing uses any more."""
    idle = gone - _loaded([tree])
    for statement in list(tree.body):
        if isinstance(statement, (ast.Import, ast.ImportFrom)):
            statement.names = [
                each for each in statement.names if not _idle(statement, each, idle)
            ]
            if not statement.names:
                tree.body.remove(statement)


def _idle(statement: ast.stmt, alias: ast.alias, idle: set[str]) -> bool:
    module = alias.name
    if isinstance(statement, ast.ImportFrom):
        module = statement.module or ""
    bound = alias.asname or alias.name.partition(".")[0]
    return module.partition(".")[0] in _MODULES and bound in idle
