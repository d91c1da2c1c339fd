"""Rules that seed the random numbers of the process draw from generators of their own.

Gradients by perturbation are often written with `torch.manual_seed(seed)` before each
pass over the weights, so that the same noise is drawn again and never kept. The numbers
of the process are the training's. Here a seed is a rule's own: what it draws after it
are the numbers that torch would give, from generators that nothing else draws from.
"""

import ast

from dux_sandbox.findings import Finding
from dux_sandbox.language.bindings import path_of
from dux_sandbox.language.seeded_functions import IN_PLACE, LIKE, OF_SIZES, OF_TENSORS
from dux_sandbox.language.torch_names import base_path
from dux_sandbox.language.usual_values import put_first
from dux_sandbox.language.written_out import define

_SEEDING = frozenset(["torch.manual_seed", "torch.random.manual_seed"])
# What `torch.manual_seed` does as well, and is written beside it.
_TOO = frozenset(["torch.cuda.manual_seed", "torch.cuda.manual_seed_all"])
# These draw as well, and take no generator, or keep it to themselves.
_UNTAKEN = frozenset("dropout init svd_lowrank".split())
_KEEP = "seeds_of"
_LOOSE = frozenset(["classmethod", "staticmethod"])


def own_seeds(
    tree: ast.Module, aliases: dict[str, str], attributes: set[str]
) -> list[Finding]:
    """Seeds inside functions become a rule's own, in place, and what is drawn after.

    Args:
        aliases: what the names of a source are imported as.
        attributes: the names of all its attributes.

    Returns:
        A note on each seed; none where nothing is seeded, or where something is drawn
        that has to come from the numbers of the process.
    """
    named = {*attributes, *".".join(aliases.values()).split(".")}
    if "manual_seed" not in named:
        return []
    calls = [each for each in ast.walk(tree) if isinstance(each, ast.Call)]
    if not any(path_of(each.func, aliases) in _SEEDING for each in calls):
        return []
    classes = {each.name: each for each in tree.body if isinstance(each, ast.ClassDef)}
    lines = _lines(classes, aliases)
    if _of_the_process(tree, aliases, calls) or _inside(classes, lines):
        return []
    taking = _Taking(aliases)
    taking.visit(tree)
    entered = _entered(classes, lines, taking.used)
    for method in entered:
        put_first(method, f"{_KEEP}({method.args.args[0].arg})")
    taking.used |= {_KEEP} if entered else set()
    define(tree, taking.used)
    return taking.notes


def _of_the_process(
    tree: ast.Module, aliases: dict[str, str], calls: list[ast.Call]
) -> bool:
    """Whether something is drawn that no function of here can stand in for."""
    called = {id(each.func) for each in calls}
    for each in ast.walk(tree):
        path = path_of(each, aliases) or ""
        if path.startswith("torch.") and not _UNTAKEN.isdisjoint(path.split(".")):
            return True
        if isinstance(each, ast.Attribute) and not path and id(each) not in called:
            # A method that draws, passed on with its tensor.
            if each.attr in IN_PLACE and isinstance(each.ctx, ast.Load):
                return True
    asked = [each.args for each in calls if ast.unparse(each.func) == "getattr"]
    return any(
        path_of(each, aliases) == "torch" or getattr(each, "value", None) in IN_PLACE
        for given in asked
        for each in given
    )


def _lines(
    classes: dict[str, ast.ClassDef], aliases: dict[str, str]
) -> dict[str, set[str]]:
    """Of each optimizer its name and those of its bases in the source."""
    lines: dict[str, set[str]] = {}
    optimizers: set[str] = set()
    for name, held in classes.items():
        above = [lines.get(ast.unparse(base), set()) for base in held.bases]
        lines[name] = {name}.union(*above)
        torchs = any(base_path(path_of(base, aliases)) for base in held.bases)
        if torchs or not optimizers.isdisjoint(lines[name]):
            optimizers.add(name)
    return {name: lines[name] for name in optimizers}


def _inside(classes: dict[str, ast.ClassDef], lines: dict[str, set[str]]) -> bool:
    """Whether one optimizer builds another, whose numbers would be others."""
    return any(
        isinstance(each, ast.Call) and ast.unparse(each.func) in lines
        for name in lines
        for each in ast.walk(classes[name])
    )


def _entered(
    classes: dict[str, ast.ClassDef], lines: dict[str, set[str]], drawing: set[str]
) -> list[ast.FunctionDef]:
    """Methods that a training may call, of the optimizers that draw; if none, of all.

    They are the constructors, the steps, and what draws or seeds by itself, such as a
    phase of a step. Bases that draw, and bases of what draws, are among the optimizers.
    """
    draw = {name for name, held in classes.items() if _names(held, drawing)}
    found = [line for line in lines.values() if line & draw]
    ours = set[str]().union(*(found or lines.values()))
    return [
        each
        for name in sorted(ours)
        for each in classes[name].body
        if isinstance(each, ast.FunctionDef)
        and each.args.args
        and not _LOOSE.intersection(map(ast.unparse, each.decorator_list))
        and (each.name in ("__init__", "step") or _names(each, drawing))
    ]


def _names(node: ast.AST, names: set[str]) -> bool:
    return any(
        isinstance(each, ast.Name) and each.id in names for each in ast.walk(node)
    )


class _Taking(ast.NodeTransformer):
    """Puts functions of here in place of those that seed and draw.

    Attributes:
        notes: one on each seed.
        used: the functions of here that are named now.
    """

    def __init__(self, aliases: dict[str, str]) -> None:
        self.notes: list[Finding] = []
        self.used: set[str] = set()
        self._aliases = aliases
        self._seeds: set[str] = set()

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        seeds = {
            ast.unparse(each.args[0])
            for each in ast.walk(node)
            if isinstance(each, ast.Call) and self._path(each) in _SEEDING and each.args
        }
        outside, self._seeds = self._seeds, seeds
        self.generic_visit(node)
        self._seeds = outside
        return node

    def visit_Expr(self, node: ast.Expr) -> ast.AST:
        """What seeds accelerators alone goes, where all are seeded so beside it."""
        call = node.value
        if isinstance(call, ast.Call) and self._path(call) in _TOO:
            if {ast.unparse(each) for each in call.args} <= self._seeds:
                return ast.copy_location(ast.Pass(), node)
        return self.generic_visit(node)

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        return self._drawing(node) or self.generic_visit(node)

    def visit_Name(self, node: ast.Name) -> ast.AST:
        return self._drawing(node) or node

    def visit_Call(self, node: ast.Call) -> ast.AST:
        path, method = self._path(node), node.func
        if path in _SEEDING:
            said = ast.unparse(node)[:60]
            what = f"{said} seeds generators of the rule's own, with the same numbers"
            instead = "keep a torch.Generator() on self, and draw from it"
            self.notes.append(Finding("own", node.lineno, what, instead))
            node.func = self._named("seeded_by", node)
        elif isinstance(method, ast.Attribute) and method.attr in IN_PLACE and not path:
            node.args.insert(0, method.value)
            node.func = self._named(f"seeded_{method.attr}", node)
        return self.generic_visit(node)

    def _path(self, call: ast.Call) -> str | None:
        return path_of(call.func, self._aliases)

    def _drawing(self, node: ast.Attribute | ast.Name) -> ast.Name | None:
        """What stands for a function of torch that draws, called or passed on."""
        path = path_of(node, self._aliases) or ""
        last = path.removeprefix("torch.")
        if last == path or not isinstance(node.ctx, ast.Load):
            return None
        taken = last in (*OF_SIZES, *OF_TENSORS, *LIKE)
        return self._named(f"seeded_{last}", node) if taken else None

    def _named(self, name: str, node: ast.expr) -> ast.Name:
        self.used.add(name)
        return ast.copy_location(ast.Name(name, ast.Load()), node)
