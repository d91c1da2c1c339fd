"""Rules that want a model: of its parameters they get a face, and nothing behind it.

`Rule(model)`, `Rule(params, model)` and `step(model)` ask a model for `parameters()` or
`named_parameters()`. A rule has no model, but those it has: an object of the language
of rules gives them, named by their places. What else a model has is refused where it
is asked for, by reading or in the dry run.
"""

import ast

from dux_sandbox.findings import Finding
from dux_sandbox.language.placing import placed
from dux_sandbox.language.reads import Reads

FACE = "model_of"
RULE = "model"
"""Of the notes on them."""
# In place of a model, or where one is wanted beside the parameters.
BESIDE = """
{params} = list({params})
if {name} is None:
    {name} = model_of({params})
"""
OF_STEP = f"{FACE}(self.param_groups)"
_NAMES = frozenset("model net network module nn_model base_model".split())
_ASKED = frozenset("parameters named_parameters".split())
_GIVEN = _ASKED | {"zero_grad", "train", "eval"}


def asks_for_model(argument: ast.arg, function: ast.FunctionDef, reads: Reads) -> bool:
    """Whether an argument is asked for parameters, or named as a model and handed on.

    One that is called, or asked for more, is none: no face computes.
    """
    places: list[ast.AST] = []
    for node in reads.names.get((function, argument.arg), ()):
        parent = reads.parents.get(node)
        kept = isinstance(parent, ast.Assign) and parent.value is node
        target = parent.targets[0] if kept else None  # type: ignore[union-attr]
        if isinstance(target, ast.Attribute) and ast.unparse(target.value) == "self":
            places += reads.kept(reads.attributes.get(target.attr, []))
        else:
            places.append(node)
    parents = [reads.parents.get(each) for each in places]
    if any(
        isinstance(over, ast.Call) and over.func is node
        for over, node in zip(parents, places, strict=True)
    ):
        return False
    asked = {each.attr for each in parents if isinstance(each, ast.Attribute)}
    if asked:
        called = all(
            getattr(reads.parents.get(over), "func", None) is over
            for over in parents
            if isinstance(over, ast.Attribute)
        )
        return called and bool(asked & _ASKED) and asked <= _GIVEN
    handed_on = [isinstance(each, ast.Call) for each in parents]
    return argument.arg in _NAMES and bool(handed_on) and all(handed_on)


def in_place_of_parameters(node: ast.ClassDef, attributes: set[str]) -> list[Finding]:
    """Have a constructor that takes a model take parameters, in place.

    Args:
        attributes: the names of all attributes of the source.

    Returns:
        A note; none where it takes parameters.
    """
    for init in () if _ASKED.isdisjoint(attributes) else node.body:
        if not isinstance(init, ast.FunctionDef) or init.name != "__init__":
            continue
        if len(init.args.args) < 2:
            return []
        argument = init.args.args[1]
        asked = any(
            isinstance(each, ast.Attribute)
            and each.attr in _ASKED
            and isinstance(each.value, ast.Name)
            and each.value.id == argument.arg
            for each in ast.walk(init)
        )
        if asked:
            made = ast.parse(f"{argument.arg} = {FACE}({argument.arg})").body[0]
            init.body.insert(0, placed(made, init))
            return [note(argument.arg, init.lineno)]
    return []


def note(name: str, line: int) -> Finding:
    """What is said about one."""
    return Finding(
        RULE,
        line,
        f"{name} is a model; what gives the parameters alone, named by their places, "
        "is taken for it",
        "take params, and named parameters as names=None",
    )
