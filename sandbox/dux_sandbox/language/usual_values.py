"""What a constructor demands and a rule is built without: usual values, with a note.

A rule is built as `Rule(params)`. Published optimizers often leave a rate to whoever
builds them, and some the optimizer that they wrap.
"""

import ast
import copy
import itertools
from collections.abc import Callable, Iterator

from dux_sandbox.findings import Finding
from dux_sandbox.language import model_faces
from dux_sandbox.language.option_objects import read_out
from dux_sandbox.language.placing import placed
from dux_sandbox.language.reads import Reads
from dux_sandbox.language.usual_names import usual
from dux_sandbox.language.values_by_use import (
    BESIDE_PARAMETERS,
    value_of,
)

WRAPPED = frozenset(
    """base_optim base_optimizer base_optimizer_cls inner_optimizer_cls optim
    optimizer_cls""".split()
)
# An optimizer that is wanted beside the parameters, and no class.
BESIDE = frozenset(
    "base_optim base_optimizer inner_optimizer opt optim optimizer".split()
)
_NAMES = frozenset("names param_names parameter_names params_names".split())
# More is asked for by no optimizer, and each is looked for in the whole class.
MOST_WANTED = 30
USUAL_CLASS = "usual_optimizer"  # a name that nobody writes
# As a script would build one.
_OVER_PARAMETERS = "torch.optim.SGD(params)"
# The same groups, so that a schedule reaches both.
_BUILT = """
{params} = list({params})
if {name} is None:
    {name} = {made}({params})
    {params} = {name}.param_groups
"""
_EACH = """
{params} = list({params})
if {name} is None:
    {name} = [
        each
        for group in {params}
        for each in (group["params"] if isinstance(group, dict) else [group])
    ]
"""
_NAMED = _EACH + '    {name} = [f"parameter {{at}}" for at, _ in enumerate({name})]\n'
_COPIED = _EACH + "    {name} = [each.detach().clone() for each in {name}]\n"


class UsualValues:
    """Gives arguments of constructors defaults, in place.

    Attributes:
        class_taken: whether a class of torch was given, which must be imported then.
    """

    def __init__(self) -> None:
        self.class_taken = False
        # By name, what is made of the parameters, told and as statements.
        self._built: dict[str, tuple[str, str]] = {}
        self._read_out: dict[str, str] = {}

    def give(self, node: ast.ClassDef) -> Iterator[Finding]:
        """Defaults for what `__init__` of a class demands beside its parameters.

        Nothing is given where something else is demanded too: it is refused then.
        """
        if all(isinstance(b, ast.Name) and b.id == "object" for b in node.bases):
            return  # a helper, built by the rule itself
        for each in node.body:
            if isinstance(each, ast.FunctionDef) and each.name == "__init__":
                yield from self._complete(each, node)

    def _complete(
        self, init: ast.FunctionDef, owner: ast.ClassDef
    ) -> Iterator[Finding]:
        arguments = init.args
        listed = [*arguments.posonlyargs, *arguments.args]
        bare = listed[2 : len(listed) - len(arguments.defaults)]
        keyed = [
            (at, each)
            for at, each in enumerate(arguments.kwonlyargs)
            if arguments.kw_defaults[at] is None
        ]
        wanted = [*bare, *(each for _, each in keyed)]
        if not wanted or len(wanted) > MOST_WANTED:
            return
        reads = Reads.of(owner)
        found = [self._usual(each, init, reads) for each in wanted]
        if None in found:
            return
        values = [each for each in found if each is not None]
        arguments.defaults[:0] = values[: len(bare)]
        for (at, _), value in zip(keyed, values[len(bare) :], strict=True):
            arguments.kw_defaults[at] = value
        for argument, value in zip(wanted, values, strict=True):
            shown = ast.unparse(value)
            options = self._read_out.pop(argument.arg, None)
            if options is not None:
                message = f"{argument.arg} has no default; {options} are taken of it"
                instead = "make each option an argument with a default"
                yield Finding("options", init.lineno, message, instead)
                continue
            if shown == USUAL_CLASS:
                shown, self.class_taken = "torch.optim.SGD", True
            elif argument.arg in self._built:
                shown, how = self._built.pop(argument.arg)
                self.class_taken |= how is _BUILT
                _build(init, argument.arg, how)
                if how is model_faces.BESIDE:
                    yield model_faces.note(argument.arg, init.lineno)
                    continue
            yield no_default(argument.arg, shown, init.lineno)

    def _usual(
        self, argument: ast.arg, init: ast.FunctionDef, reads: Reads
    ) -> ast.expr | None:
        name, used = argument.arg, value_of(argument, init, reads)
        if name in WRAPPED and calls(init, name):
            return placed(ast.Name(USUAL_CLASS, ast.Load()), init)
        if len(init.args.args) > 1:
            if name in BESIDE:
                self._built[name] = _OVER_PARAMETERS, _BUILT
            elif name in _NAMES:
                self._built[name] = "a name for each parameter", _NAMED
            elif model_faces.asks_for_model(argument, init, reads):
                self._built[name] = "", model_faces.BESIDE
            elif used == BESIDE_PARAMETERS:
                self._built[name] = "a copy of each parameter", _COPIED
        if used is None and name not in self._built:
            options = read_out(argument, init, reads)
            if options is None:
                return None
            self._read_out[name] = options
        text = "None" if name in self._built else str(used)
        return placed(ast.parse(text, mode="eval").body, init)

    def imported(self, tree: ast.Module) -> None:
        """Put the import of the class before everything, where it was taken."""
        if self.class_taken:
            names = [ast.alias("SGD", USUAL_CLASS)]
            made = ast.ImportFrom("torch.optim", names, 0)
            tree.body.insert(0, ast.copy_location(made, tree.body[0]))
            ast.fix_missing_locations(made)


def _build(init: ast.FunctionDef, name: str, how: str) -> None:
    """Have a constructor build what it is not given of its parameters, in place."""
    text = how.format(name=name, params=init.args.args[1].arg, made=USUAL_CLASS)
    put_first(init, text)


def put_first(function: ast.FunctionDef, text: str) -> None:
    """Put statements before those of a function, after its docstring."""
    made = [placed(each, function) for each in ast.parse(text).body]
    first = function.body[0]
    documented = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
    function.body[documented:documented] = made


def marks_of(tree: ast.Module) -> set[str]:
    """Names of a module's own `required = object()`, that no caller ever passes."""
    return {
        target.id
        for each in tree.body
        if isinstance(each, ast.Assign) and isinstance(each.value, ast.Call)
        for target in each.targets
        if isinstance(target, ast.Name) and _makes_mark(each.value, target.id)
    }


def _makes_mark(call: ast.Call, name: str) -> bool:
    """`object()`, or `required = _RequiredParameter()` as torch had it once."""
    bare = not call.args and not call.keywords and isinstance(call.func, ast.Name)
    return bare and (name == "required" or ast.unparse(call.func) == "object")


def rate_of(
    function: ast.FunctionDef, required: Callable[[ast.expr], bool]
) -> Iterator[Finding]:
    """Give `lr=required` and its like a usual value, in place: a rule is built without.

    So is `lr=None` where None is compared with a number at once, and would raise.

    Args:
        required: whether a default is torch's mark for a value that must be given.
    """
    arguments = function.args
    named = [*arguments.posonlyargs, *arguments.args][-len(arguments.defaults) :]
    for at, (argument, default) in enumerate(
        zip(named, arguments.defaults, strict=False)
    ):
        known = usual(argument)
        must = known is not None and required(default)
        if must or (argument.arg == "lr" and _must_be(function, default)):
            arguments.defaults[at] = placed(_literal(known), function)
            yield no_default(argument.arg, repr(known), function.lineno)


def _literal(value: object) -> ast.expr:
    return ast.parse(repr(value), mode="eval").body


def _must_be(function: ast.FunctionDef, default: ast.expr) -> bool:
    """Whether None is the default of a rate that `assert lr > 0.0` asks for at once.

    After `if lr is None: lr = 0.01` the class has a default of its own.
    """
    as_given = itertools.takewhile(lambda each: not _answers_none(each), function.body)
    asked = [
        test.operand if isinstance(test, ast.UnaryOp) else test
        for statement in as_given
        if isinstance(statement, (ast.Assert, ast.If))
        for test in _parts_of(statement.test)
    ]
    return ast.unparse(default) == "None" and any(
        isinstance(test.ops[0], (ast.Lt, ast.LtE, ast.Gt, ast.GtE))
        and "lr" in map(ast.unparse, [test.left, *test.comparators])
        for test in asked
        if isinstance(test, ast.Compare)
    )


def _answers_none(statement: ast.stmt) -> bool:
    """Whether it sets a rate without one; `lr = float(lr)` has no answer to None."""
    return any(
        isinstance(each, ast.Assign)
        and any(isinstance(to, ast.Name) and to.id == "lr" for to in each.targets)
        and _does_without(each.value)
        for each in ast.walk(statement)
    )


def _does_without(value: ast.expr) -> bool:
    inside = list(ast.walk(value))
    chosen = any(isinstance(each, (ast.BoolOp, ast.IfExp)) for each in inside)
    named = any(isinstance(each, ast.Name) and each.id == "lr" for each in inside)
    return chosen or not named


def _parts_of(test: ast.expr) -> list[ast.expr]:
    """`lr is None or lr <= 0`, in parts: each of them raises by itself."""
    alternatives = isinstance(test, ast.BoolOp) and isinstance(test.op, ast.Or)
    return test.values if alternatives else [test]  # type: ignore[attr-defined]


def usual_arguments(node: ast.ClassDef) -> dict[str, str]:
    """What is given to the constructor of a class, as text; the class stays as it is.

    >>> text = "class A(Optimizer):\\n  def __init__(self, params, lr): pass"
    >>> usual_arguments(ast.parse(text).body[0])
    {'lr': '0.001'}
    """
    found: dict[str, str] = {}
    for each in node.body:
        if isinstance(each, ast.FunctionDef) and each.name == "__init__":
            listed = each.args.args[-len(each.args.defaults) :]
            for argument, default in zip(listed, each.args.defaults, strict=False):
                name, known = argument.arg, usual(argument)
                must = known is not None and ast.unparse(default).endswith("required")
                if must or (name == "lr" and _must_be(each, default)):
                    found[name] = repr(known)
    given = UsualValues().give(copy.deepcopy(node))
    for note in [each for each in given if each.rule == "default"]:
        name, _, value = note.instead.removeprefix("write ").partition("=")
        found[name] = value
    return found


def no_default(name: str, shown: str, line: int) -> Finding:
    """The note on one argument."""
    return Finding(
        "default",
        line,
        f"{name} has no default; {shown} is taken where none is given",
        f"write {name}={shown}",
    )


def calls(init: ast.FunctionDef, name: str) -> bool:
    """Whether an argument is called: it is a class then, and no optimizer."""
    return any(
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == name
        for node in ast.walk(init)
    )
