"""The class contract: which class of a source is the rule, and how it can be built."""

import ast
from dataclasses import dataclass

from dux_sandbox.findings import Finding
from dux_sandbox.language.bindings import Bindings
from dux_sandbox.language.closures_asked import asks_closure
from dux_sandbox.language.declared_sensors import declared
from dux_sandbox.language.torch_names import base_path

_EXAMPLE = (
    "class MyOptimizer(torch.optim.Optimizer): with "
    "def __init__(self, params, lr=1e-3): super().__init__(params, dict(lr=lr)) "
    "and def step(self, closure=None):"
)


@dataclass(frozen=True)
class Contract:
    """The rule of a source, and its faults.

    Attributes:
        rule: the name of its class; None: there is none.
        findings: what speaks against it.
        asks_closure: whether its step raises at once where it is given no closure, or
            calls it in any case.
        sensors: that its class declares.
    """

    rule: str | None
    findings: tuple[Finding, ...] = ()
    asks_closure: bool = False
    sensors: tuple[str, ...] = ()


def _path(node: ast.expr, bindings: Bindings) -> str | None:
    names: list[str] = []
    while isinstance(node, ast.Attribute):
        names.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name) or node.id not in bindings.modules:
        return None
    return ".".join([bindings.modules[node.id], *reversed(names)])


def _parents(node: ast.ClassDef, bindings: Bindings) -> list[str]:
    """The bases of a class that are classes of the source."""
    return [
        base.id
        for base in node.bases
        if isinstance(base, ast.Name) and base.id in bindings.classes
    ]


def stock_of_classes(bindings: Bindings) -> dict[str, str | None]:
    """For each class at the top level torch's optimizer that it is built on, or None.

    Each class is looked at once, whatever its bases: none may be its own ancestor.
    """
    found: dict[str, str | None] = {}

    def look(name: str) -> str | None:
        if name not in found:
            found[name] = None
            node = bindings.classes[name]
            stocks = [base_path(_path(base, bindings)) for base in node.bases]
            stocks += [look(parent) for parent in _parents(node, bindings)]
            found[name] = next((stock for stock in stocks if stock), None)
        return found[name]

    for name in bindings.classes:
        look(name)
    return found


def lineage(name: str, bindings: Bindings) -> list[ast.ClassDef]:
    """A class and its ancestors among the classes of the source, nearest first."""
    chain: list[ast.ClassDef] = []
    seen: set[str] = set()
    left = [name]
    while left:
        current = left.pop()
        if current not in seen:
            seen.add(current)
            node = bindings.classes[current]
            chain.append(node)
            left.extend(reversed(_parents(node, bindings)))
    return chain


def _method(chain: list[ast.ClassDef], name: str) -> ast.FunctionDef | None:
    for node in chain:
        for statement in node.body:
            if isinstance(statement, ast.FunctionDef) and statement.name == name:
                return statement
    return None


def find_rule(tree: ast.Module, bindings: Bindings) -> Contract:
    """The last optimizer class at the top level of `tree`, judged by the contract."""
    stock = stock_of_classes(bindings)
    names = [node.name for node in tree.body if isinstance(node, ast.ClassDef)]
    rules = [name for name in names if stock.get(name) is not None]
    if not rules:
        message = "no class built on torch.optim.Optimizer at the top level"
        return Contract(None, (Finding("contract", None, message, _EXAMPLE),))
    name = rules[-1]
    chain = lineage(name, bindings)
    findings = _judge(chain, stock[name] or "Optimizer")
    findings += _strange_supers(chain, bindings)
    step = _method(chain, "step")
    asks = step is not None and asks_closure(step)
    sensors, faults = declared(chain)
    return Contract(name, (*findings, *faults), asks, sensors)


def _strange_supers(chain: list[ast.ClassDef], bindings: Bindings) -> list[Finding]:
    """`super(Adam, self)` in the constructor of a class that is no Adam: it raises."""
    init = _method(chain, "__init__")
    named = [
        each.args[0]
        for each in (ast.walk(init) if init else ())
        if isinstance(each, ast.Call)
        and ast.unparse(each.func) == "super"
        and len(each.args) == 2
    ]
    own = {each.name for each in chain}
    return [
        Finding(
            "contract",
            each.lineno,
            f"super({each.id}, self) in {chain[0].name}, which is not built on it",
            "write super() without arguments",
        )
        for each in named
        if isinstance(each, ast.Name) and each.id in bindings.classes.keys() - own
    ]


def _judge(chain: list[ast.ClassDef], stock: str) -> list[Finding]:
    findings: list[Finding] = []
    name, line = chain[0].name, chain[0].lineno
    init, step = _method(chain, "__init__"), _method(chain, "step")
    never = stock == "Optimizer" if step is None else only_raises(step)
    lone = _lone_phases(chain[0]) if never else ""
    if lone:
        message = f"no step calls the phases of {name}, of which {lone}"
        instead = (
            "write def step(self, closure=None): that calls them with what they want"
        )
        findings.append(Finding("contract", line, message, instead))
    if stock == "Optimizer":
        if step is None and not lone:
            findings.append(
                Finding(
                    "contract",
                    line,
                    f"{name} has no step method",
                    "write def step(self, closure=None):",
                )
            )
        if init is None:
            findings.append(
                Finding(
                    "contract",
                    line,
                    f"{name} has no __init__",
                    "write def __init__(self, params, lr=1e-3): "
                    "super().__init__(params, dict(lr=lr))",
                )
            )
    if init is not None:
        findings.extend(_judge_arguments(init))
    if step is not None:
        findings.extend(_judge_step(step))
    return findings


def only_raises(step: ast.FunctionDef) -> bool:
    """Whether a step does nothing but to say that it is not to be called."""
    *before, last = step.body
    told = (isinstance(each, ast.Expr) for each in before)
    return isinstance(last, ast.Raise) and all(told)


def _lone_phases(node: ast.ClassDef) -> str:
    """Which phases of a step, like `second_step`, demand what; "" where none does."""
    wanting = {
        each.name: ", ".join(argument.arg for argument in demanded(each.args, given=1))
        for each in node.body
        if isinstance(each, ast.FunctionDef) and each.name.endswith("_step")
    }
    told = [f"{name} wants {names}" for name, names in wanting.items() if names]
    return ", and ".join(told)


def demanded(arguments: ast.arguments, *, given: int) -> list[ast.arg]:
    """Those without a default, after the `given` first ones by position."""
    positional = [*arguments.posonlyargs, *arguments.args]
    by_name = zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    return [
        *positional[given : len(positional) - len(arguments.defaults)],
        *(argument for argument, default in by_name if default is None),
    ]


def _judge_arguments(init: ast.FunctionDef) -> list[Finding]:
    arguments = init.args
    positional = [*arguments.posonlyargs, *arguments.args]
    findings = [
        Finding(
            "contract",
            init.lineno,
            f"the argument {each.arg} of __init__ has no default",
            f"give it one: {each.arg}=...; the rule is built as Rule(params)",
        )
        for each in demanded(arguments, given=2)
    ]
    if len(positional) < 2 and arguments.vararg is None:
        message = "__init__ takes no parameters to optimize"
        instead = "write def __init__(self, params, lr=1e-3):"
        findings.append(Finding("contract", init.lineno, message, instead))
    return findings


def _judge_step(step: ast.FunctionDef) -> list[Finding]:
    arguments = step.args
    positional = [*arguments.posonlyargs, *arguments.args]
    if not positional and arguments.vararg is None:
        message, instead = "step takes no self", "write def step(self, closure=None):"
        return [Finding("contract", step.lineno, message, instead)]
    # A closure without a default is one that the rule needs.
    bare = demanded(arguments, given=1)
    names = ", ".join(each.arg for each in bare if each.arg != "closure")
    if not names:
        return []
    return [
        Finding(
            "contract",
            step.lineno,
            f"step has arguments without a default: {names}",
            f"write def step(self, closure=None): a training loop calls step() or "
            f"step(closure); keep {names} on self, or give a default",
        )
    ]
