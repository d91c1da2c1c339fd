"""Two sources as one: both take their step from the same weights, then one is made."""

import ast
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from random import Random

from dux_graphs.evolution.individual import Draft, Standing
from dux_graphs.evolution.syntax import constructor, method, rule_in

_MOST_LINES = 220
_SHARE = "rate"  # of the second rule: its own rate as a share of the first's

# How the steps of two rules become one; {first} and {second} are the names of theirs.
_WAYS = {
    # Agarwal et al., Disentangling adaptive gradient methods, 2020.
    "second * (first.norm() / second.norm().clamp(min=1e-12))": (
        "The direction of {second}, at the size of the step of {first}."
    ),
    "first if p.ndim > 1 else second": (
        "{first} for matrices, {second} for all other weights."
    ),
    "first.lerp(second, group['share'])": (
        "A mean of the steps of {first} and {second}."
    ),
    # Liang et al., Cautious optimizers, 2024.
    "first * (first * second > 0)": (
        "The step of {first}, where {second} would go the same way."
    ),
}

_CHILD = """
class {name}(Optimizer):
    def __init__(self, params, {arguments}):
        super().__init__(params, dict({options}))

    @torch.no_grad()
    def step(self, closure=None):
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None or p.numel() == 0:
                    continue
                state = self.state[p]
                if not state:
                    state["first"] = {{}}
                    state["second"] = {{}}
                before = p.clone()
                {first}(p, state["first"], group)
                first = p - before
                p.copy_(before)
                {second}(p, state["second"], group)
                second = p - before
                p.copy_(before + ({way}))
        return loss
"""


@dataclass(frozen=True)
class _Parts:
    """A source taken apart.

    Attributes:
        name: of its class.
        above: what stands above the class, imports apart.
        imports: as text.
        options: name to default.
        body: what its step does with one weight `p`, its `state` and its `group`.
        traits: that its docstring declares.
    """

    name: str
    above: list[ast.stmt]
    imports: list[str]
    options: dict[str, ast.expr]
    body: list[ast.stmt]
    traits: list[str]


def cross(parents: Sequence[Standing], rng: Random) -> Draft | None:
    """A draft of the first two; None where one has no step for each weight alone."""
    if len(parents) < 2:
        return None
    sources = [each.individual.draft.source for each in parents[:2]]
    first, second = (_taken_apart(ast.parse(source)) for source in sources)
    if first is None or second is None:
        return None
    way = rng.choice(sorted(_WAYS))
    source = _joined(first, second, way)
    if source.count("\n") > _MOST_LINES:
        return None
    return Draft(source, _WAYS[way].format(first=first.name, second=second.name))


def _joined(first: _Parts, second: _Parts, way: str) -> str:
    options: dict[str, ast.expr] = {}
    taken = {*_names(first.above), first.name, second.name}
    steps, above = [], list(first.above)
    for at, parts in enumerate((first, second)):
        renamed: dict[str, str] = {}
        if at:
            renamed = {each: _free(each, taken) for each in _names(parts.above)}
            taken |= {*renamed.values()}
        own = {
            name: _free(_SHARE if at and name == "lr" else name, options)
            for name in parts.options
        }
        options |= {own[name]: default for name, default in parts.options.items()}
        rename = _Renamed(renamed, own)
        if at and "lr" in parts.options and "lr" in first.options:
            # Whoever sets the one rate, a scheduler or a law, sets both.
            rates = [ast.literal_eval(e.options["lr"]) for e in (first, second)]
            options[own["lr"]] = ast.Constant(float(f"{rates[1] / rates[0]:.4g}"))
            rename.share_of_rate = own["lr"]
        if at:
            above += [rename.visit(each) for each in parts.above]
        made = ast.parse("def step_of(p, state, group):\n    pass").body[0]
        assert isinstance(made, ast.FunctionDef)
        made.name = _free(f"{parts.name.lower()}_step", taken)
        taken.add(made.name)
        made.body = [rename.visit(each) for each in _returning(parts.body)]
        above.append(made)
        steps.append(made.name)
    if "share" in way:
        way = way.replace("share", share := _free("share", options))
        options[share] = ast.Constant(0.5)
    class_ = _CHILD.format(
        name=_free("Crossed", taken),
        arguments=", ".join(f"{n}={ast.unparse(d)}" for n, d in options.items()),
        options=", ".join(f"{name}={name}" for name in options),
        first=steps[0],
        second=steps[1],
        way=way,
    )
    imports = sorted({*first.imports, *second.imports})
    traits = sorted({*first.traits, *second.traits})
    told = f'"""dux: {", ".join(traits)}"""\n' if traits else ""
    body = [*ast.parse("\n".join(imports)).body, *above, *ast.parse(class_).body]
    return told + ast.unparse(ast.fix_missing_locations(ast.Module(body, []))) + "\n"


def _taken_apart(tree: ast.Module) -> _Parts | None:
    rule, step, made = rule_in(tree), method(tree, "step"), constructor(tree)
    if rule is None or step is None or made is None or len(rule.body) != 2:
        return None
    loop = next((each for each in step.body if isinstance(each, ast.For)), None)
    inner = loop.body[0] if loop is not None and len(loop.body) == 1 else None
    if not isinstance(inner, ast.For) or ast.unparse(inner.target) != "p":
        return None
    body = [each for each in inner.body if not _is_usual(each)]
    text = "\n".join(map(ast.unparse, body))
    arguments = made.args.args[2:]
    plain = len(arguments) == len(made.args.defaults) and len(made.body) == 1
    if "self" in text or not plain or not _passes_all_on(made.body[0], arguments):
        return None
    imports = [e for e in tree.body if isinstance(e, ast.Import | ast.ImportFrom)]
    told = ast.get_docstring(tree) or ""
    traits = [line[5:] for line in told.splitlines() if line.startswith("dux: ")]
    return _Parts(
        name=rule.name,
        above=[
            each
            for each in tree.body
            if isinstance(each, ast.FunctionDef | ast.Assign)
            or (isinstance(each, ast.ClassDef) and each is not rule)
        ],
        imports=[ast.unparse(each) for each in imports],
        options={a.arg: d for a, d in zip(arguments, made.args.defaults, strict=True)},
        body=body,
        traits=[word.strip() for line in traits for word in line.split(",")],
    )


def _is_usual(statement: ast.stmt) -> bool:
    """Whether the child's own loop says it already."""
    return ast.unparse(statement) in (
        "state = self.state[p]",
        "if p.grad is None:\n    continue",
        "if p.numel() == 0:\n    continue",
        "if p.grad is None or p.numel() == 0:\n    continue",
    )


def _passes_all_on(statement: ast.stmt, arguments: Sequence[ast.arg]) -> bool:
    """Whether the constructor hands every option on by its name, and does no more."""
    names = ", ".join(f"{each.arg}={each.arg}" for each in arguments)
    return ast.unparse(statement) == f"super().__init__(params, dict({names}))"


def _returning(body: Iterable[ast.stmt]) -> list[ast.stmt]:
    """Statements of a loop as those of a function."""
    return [_Returning().visit(ast.parse(ast.unparse(each)).body[0]) for each in body]


class _Returning(ast.NodeTransformer):
    """Makes each `continue` of the loop that was taken out a `return`."""

    def visit_Continue(self, node: ast.Continue) -> ast.Return:
        return ast.copy_location(ast.Return(None), node)

    def visit_For(self, node: ast.For) -> ast.For:
        return node  # a `continue` in there is its own

    def visit_While(self, node: ast.While) -> ast.While:
        return node


@dataclass
class _Renamed(ast.NodeTransformer):
    """Gives names at the top of a source, and its options, other names."""

    names: dict[str, str]
    options: dict[str, str]
    share_of_rate: str = ""

    def visit_Name(self, node: ast.Name) -> ast.Name:
        return ast.Name(self.names.get(node.id, node.id), node.ctx)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.name = self.names.get(node.name, node.name)
        return self.generic_visit(node)

    def visit_Subscript(self, node: ast.Subscript) -> ast.AST:
        key = node.slice
        if ast.unparse(node.value) == "group" and isinstance(key, ast.Constant):
            if key.value == "lr" and self.share_of_rate:
                share = f"(group['lr'] * group['{self.share_of_rate}'])"
                return ast.parse(share, mode="eval").body
            node.slice = ast.Constant(self.options.get(str(key.value), key.value))
        return self.generic_visit(node)


def _names(statements: Iterable[ast.stmt]) -> list[str]:
    """The names that statements at the top of a source bind."""
    found = []
    for each in statements:
        if isinstance(each, ast.FunctionDef | ast.ClassDef):
            found.append(each.name)
        elif isinstance(each, ast.Assign):
            found += [t.id for t in each.targets if isinstance(t, ast.Name)]
    return found


def _free(name: str, taken: Iterable[str]) -> str:
    """The name, or the first with a number behind it that is not taken."""
    known, found, count = set(taken), name, 1
    while found in known:
        count += 1
        found = f"{name.rstrip('0123456789').rstrip('_')}_{count}"
    return found
