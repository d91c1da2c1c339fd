"""Rules that are handed an optimizer and wrap it: they get one over their parameters.

`Lookahead(optimizer, k=5)` takes the groups of another optimizer for its own and makes
its state anew; `Several(optimizers)` steps each of a list. A rule is built as
`Rule(params)`: what it wraps is torch's SGD then.
"""

import ast
import copy
from collections.abc import Container

from dux_sandbox.findings import Finding
from dux_sandbox.language.usual_values import USUAL_CLASS, calls, put_first

_HANDED = frozenset(
    """base_optim base_optimizer inner_optim inner_optimizer opt optim optim_base
    optimizer optimizer_base""".split()
)
# Several of them, in a list.
_LISTED = frozenset("optimizers optims opts".split())
_UNLESS = "if not hasattr({}, 'param_groups')"
_OWN = frozenset("defaults state".split())
_HANDED_ON = frozenset(["self.defaults", "self.param_groups"])
_SHARED = _OWN | {"param_groups"}
_SHARING = frozenset(["share_memory_"])


def handed_optimizer(node: ast.ClassDef) -> str | None:
    """The first argument of the constructor, where it is an optimizer and no class."""
    init = _constructor(node)
    arguments = [] if init is None else init.args.args
    if init is None or len(arguments) < 2 or arguments[1].arg not in _HANDED | _LISTED:
        return None
    name = arguments[1].arg
    return None if calls(init, name) else name


def as_handed(name: str, optimizer: str) -> str:
    """The text of an optimizer as an argument of this name takes it."""
    return f"[{optimizer}]" if name in _LISTED else optimizer


def wrap(node: ast.ClassDef) -> Finding | None:
    """Have the constructor of such a class wrap an SGD over its parameters, in place.

    Returns:
        The note on it; None where the class is no such one.
    """
    name = handed_optimizer(node)
    init = _constructor(node)
    if name is None or init is None:
        return None
    built = f"{name} = {as_handed(name, f'{USUAL_CLASS}({name})')}"
    # A class of the same source may hand it one.
    made = [built if name in _LISTED else f"{_UNLESS.format(name)}:\n    {built}"]
    # Before anything is on `self`, which the class's own would look for.
    taken = {"__getstate__"}
    if not any(_is_base_init(each) for each in ast.walk(init)):
        first = f"{name}[0]" if name in _LISTED else name
        made.append(f"super().__init__({first}.param_groups, {{}})")
        taken.add("add_param_group")
    _resolve(init.body)
    init.body = [each for each in init.body if not _makes_anew(each)] or [
        ast.copy_location(ast.Pass(), init)
    ]
    put_first(init, "\n".join(made))
    node.body = [each for each in node.body if not _is_torchs(each, taken)]
    return Finding(
        "default",
        init.lineno,
        f"{name} {'are optimizers' if name in _LISTED else 'is an optimizer'} to wrap; "
        f"torch.optim.SGD over the parameters is taken",
        "build it in __init__: self.inner = torch.optim.SGD(self.param_groups)",
    )


def _constructor(node: ast.ClassDef) -> ast.FunctionDef | None:
    for each in node.body:
        if isinstance(each, ast.FunctionDef) and each.name == "__init__":
            return each
    return None


def _is_base_init(node: ast.AST) -> bool:
    called = node.func if isinstance(node, ast.Call) else None
    return isinstance(called, ast.Attribute) and called.attr == "__init__"


class _Put(ast.NodeTransformer):
    """Reads of attributes of `self` become what was assigned to them."""

    def __init__(self) -> None:
        self.known: dict[str, ast.expr] = {}

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        ours = isinstance(node.value, ast.Name) and node.value.id == "self"
        if ours and isinstance(node.ctx, ast.Load) and node.attr in self.known:
            return copy.deepcopy(self.known[node.attr])
        return self.generic_visit(node)


def _resolve(body: list[ast.stmt]) -> None:
    """Take out what torch's constructor makes anew, where it is called later, in place.

    `self.param_groups = base.param_groups` before `super().__init__(self.param_groups,
    {})` only names what is handed on.
    """
    calls_base = [any(map(_is_base_init, ast.walk(each))) for each in body]
    if True not in calls_base:
        return
    end = calls_base.index(True) + 1
    put = _Put()
    first: list[ast.stmt] = []
    for each in body[:end]:
        made = put.visit(each)
        if isinstance(made, ast.Assign) and _handed_on(made.value):
            target = made.targets[0]
            if isinstance(target, ast.Attribute) and ast.unparse(target) in _HANDED_ON:
                put.known[target.attr] = made.value
                continue
        first.append(made)
    body[:end] = first


def _handed_on(value: ast.expr) -> bool:
    """`base.defaults` or `self.base.defaults`: short, as it is written again."""
    held = value.value if isinstance(value, ast.Attribute) else value
    held = held.value if isinstance(held, ast.Attribute) else held
    return isinstance(value, ast.Attribute) and isinstance(held, ast.Name)


def _makes_anew(statement: ast.stmt) -> bool:
    """`self.state = defaultdict(dict)`, which torch's own constructor has done."""
    target = statement.targets[0] if isinstance(statement, ast.Assign) else None
    if isinstance(statement, ast.AnnAssign):
        target = statement.target
    return (
        isinstance(target, ast.Attribute)
        and isinstance(target.value, ast.Name)
        and target.value.id == "self"
        and (target.attr in _OWN or target.attr.endswith("_hooks"))
    )


def keep_state(node: ast.ClassDef) -> bool:
    """Take `self.state = self.inner.state` out of a constructor that shares its groups.

    Each of the two keeps its own then, and both are saved with the rule.
    """
    init = _constructor(node)
    said = [] if init is None else [ast.unparse(each) for each in init.body]
    shared = {
        text.removeprefix("self.param_groups = ").removesuffix(".param_groups")
        for text in said
        if text.startswith("self.param_groups = ") and text.endswith(".param_groups")
    }
    if init is None or not shared:
        return False
    twice = {f"self.state = {owner}.state" for owner in shared}
    kept = [
        each for each, text in zip(init.body, said, strict=True) if text not in twice
    ]
    changed = len(kept) != len(init.body)
    init.body = kept
    return changed


def take_as_made(node: ast.ClassDef, attributes: Container[str]) -> bool:
    """Take an empty state, and memory to share, out of a constructor, in place.

    `self.state = dict()` is what torch's own constructor makes, but for what it gives
    where nothing is yet; `x.share_memory_()` is x: a rule's memory is never shared.
    `self.defaults`, written before that constructor is called, is a variable.

    Args:
        attributes: the names of all attributes of the source.
    """
    init = _constructor(node)
    if init is None:
        return False
    shares = any(name in attributes for name in _SHARING)
    if shares:
        _NeverShared().visit(init)
    left = [each for each in init.body if not _empties_state(each)]
    changed = shares or len(left) != len(init.body)
    init.body = left or [ast.copy_location(ast.Pass(), init)]
    return changed | ("defaults" in attributes and _names_defaults(init))


def _empties_state(statement: ast.stmt) -> bool:
    if isinstance(statement, ast.Assign):
        target: ast.expr = statement.targets[0]
    elif isinstance(statement, ast.AnnAssign):
        target = statement.target
    else:
        return False
    if not isinstance(target, ast.Attribute) or target.attr != "state":
        return False
    if ast.unparse(target) != "self.state" or statement.value is None:
        return False
    return ast.unparse(statement.value) in (
        "{}",
        "dict()",
        "defaultdict(dict)",
        "collections.defaultdict(dict)",
        "self.state",
    )


def _names_defaults(init: ast.FunctionDef) -> bool:
    """Make a variable of `self.defaults`, before torch's constructor sets it."""
    called = [any(map(_is_base_init, ast.walk(each))) for each in init.body]
    first = init.body[: called.index(True) + 1] if True in called else []
    written = [
        target
        for each in first
        if isinstance(each, ast.Assign)
        for target in each.targets
        if ast.unparse(target) == "self.defaults"
    ]
    for each in first if written else ():
        _AsVariable().visit(each)
    return bool(written)


class _AsVariable(ast.NodeTransformer):
    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        self.generic_visit(node)
        if ast.unparse(node) != "self.defaults":
            return node
        return ast.copy_location(ast.Name("defaults_before", node.ctx), node)


class _NeverShared(ast.NodeTransformer):
    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        shares = isinstance(node.func, ast.Attribute) and node.func.attr in _SHARING
        return node.func.value if shares and not node.args else node  # type: ignore[attr-defined]

    def visit_Expr(self, node: ast.Expr) -> ast.AST:
        called = node.value
        self.generic_visit(node)
        return node if node.value is called else ast.copy_location(ast.Pass(), node)


def _is_torchs(statement: ast.stmt, taken: set[str]) -> bool:
    """A method that a rule has from torch, or is never asked for.

    `param_groups` as a property hands on the groups that the rule has anyway, and
    `__getstate__` pickles: a rule is saved by its state.
    """
    if not isinstance(statement, ast.FunctionDef):
        return False
    shared = statement.name in _SHARED and bool(statement.decorator_list)
    return shared or statement.name in taken
