"""Steps that want more than a closure: what a training loop calls them without.

`step(self, lr)` gets the rate of the group, `step(self, loss)` what the closure gives,
and what else is wanted a usual value. A loop hands its closure over first.
"""

import ast
from collections.abc import Iterable, Iterator

from dux_sandbox.findings import Finding
from dux_sandbox.language import model_faces
from dux_sandbox.language.contract import demanded
from dux_sandbox.language.reads import Reads
from dux_sandbox.language.usual_names import RATES, USUAL_RATE
from dux_sandbox.language.usual_values import MOST_WANTED, put_first
from dux_sandbox.language.values_by_use import BESIDE_PARAMETERS, value_of

_LOSSES = frozenset("loss loss_value current_loss train_loss".split())
_SLOPES = frozenset("grads gradients gradsh".split())
_OWN = '[each for group in self.param_groups for each in group["params"]]'
_GRADS = (
    '[each.grad for group in self.param_groups for each in group["params"]'
    " if each.grad is not None]"
)
_RATE = f'self.param_groups[0].get("lr", {USUAL_RATE})'
_DEVICE = 'self.param_groups[0]["params"][0].device'
_TOLD = {
    _OWN: "a list of the parameters",
    _GRADS: "a list of their gradients",
    _RATE: "the rate of its group",
    _DEVICE: "the device of the parameters",
}


def steps_otherwise(nodes: Iterable[ast.AST]) -> bool:
    """Whether a source calls a step with anything but a closure."""
    return any(
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "step"
        and any(ast.unparse(each) != "closure" for each in [*node.args, *node.keywords])
        for node in nodes
    )


def complete_step(node: ast.ClassDef, *, handed: bool) -> list[Finding]:
    """Give the step of an optimizer what it wants, in place.

    Args:
        handed: whether its source calls steps with more than a closure.

    Returns:
        A note on each thing; none where something is wanted that has no usual value,
        or where a method hands the step arguments by itself.
    """
    step = next(
        (
            each
            for each in node.body
            if isinstance(each, ast.FunctionDef) and each.name == "step"
        ),
        None,
    )
    if step is None or not step.args.args:
        return []
    notes = list(_named_plainly(step))
    wanted = [each for each in demanded(step.args, given=1) if each.arg != "closure"]
    if len(wanted) > MOST_WANTED or _handed(node):
        return notes
    if not wanted:
        return notes if handed else [*notes, *_options_of(step)]
    reads = Reads.of(node)
    made = [_value(each, step, reads) for each in wanted]
    read = all((step, each.arg) in reads.names for each in wanted)
    if None in made or not read:
        return notes
    _arrange(step, wanted)
    texts = [
        f"if {each.arg} is None:\n    {each.arg} = {value}\n"
        for each, value in zip(wanted, made, strict=True)
        if value not in ("None", "closure()")
    ]
    texts += [f"{a.arg} = closure()\n" for a in wanted if a.arg in _LOSSES]
    put_first(step, "".join(texts))
    return [*notes, *_notes(step, wanted, [str(each) for each in made])]


def _named_plainly(step: ast.FunctionDef) -> Iterator[Finding]:
    """An argument in front that is called without anything is the closure, in place."""
    listed = step.args.args[1:2]
    name = listed[0].arg if listed else "closure"
    if "closure" in {a.arg for a in (*step.args.args[1:], *step.args.kwonlyargs)}:
        return
    called = any(
        isinstance(each, ast.Call)
        and isinstance(each.func, ast.Name)
        and each.func.id == name
        and not each.args
        for each in ast.walk(step)
    )
    if called and listed:
        listed[0].arg = "closure"
        put_first(step, f"{name} = closure")
        message = f"{name} of step, which it calls, is the closure"
        yield Finding("default", step.lineno, message, "call it closure")


def _options_of(step: ast.FunctionDef) -> Iterator[Finding]:
    """Options of a step without a closure, by keyword alone, in place: none is one."""
    listed = step.args.args[1:]
    if not listed or "closure" in {a.arg for a in (*listed, *step.args.kwonlyargs)}:
        return
    _arrange(step, [])
    yield Finding(
        "default",
        step.lineno,
        f"{', '.join(each.arg for each in listed)} of step: a training loop calls "
        "step() or step(closure), and leaves what has a default",
        "write def step(self, closure=None):",
    )


def _notes(
    step: ast.FunctionDef, wanted: list[ast.arg], made: list[str]
) -> Iterator[Finding]:
    for each, value in zip(wanted, made, strict=True):
        if value == model_faces.OF_STEP:
            yield model_faces.note(each.arg, step.lineno)
            continue
        shown = _TOLD.get(value, value)
        yield Finding(
            "default",
            step.lineno,
            f"{each.arg} of step has no default; {shown} is taken",
            "write def step(self, closure=None):",
        )


def _handed(node: ast.ClassDef) -> bool:
    """Whether a method of the class calls a step, its own or another's, by position."""
    return any(
        isinstance(each, ast.Call)
        and isinstance(each.func, ast.Attribute)
        and each.func.attr == "step"
        and ast.unparse(each.func.value) in ("self", "super()")
        for each in ast.walk(node)
    )


def _value(argument: ast.arg, step: ast.FunctionDef, reads: Reads) -> str | None:
    name = argument.arg
    if name in _LOSSES:
        return "closure()"
    if name in RATES:
        return _RATE
    if name.lower() in _SLOPES:
        return _GRADS
    if name == "device":
        return _DEVICE
    if model_faces.asks_for_model(argument, step, reads):
        return model_faces.OF_STEP
    used = value_of(argument, step, reads)
    return _OWN if used == BESIDE_PARAMETERS else used


def _arrange(step: ast.FunctionDef, wanted: list[ast.arg]) -> None:
    """The closure first, and the rest by keyword alone, None by default."""
    arguments = step.args
    listed = [*arguments.args[1:]]
    defaults: list[ast.expr | None] = [
        *([None] * (len(listed) - len(arguments.defaults))),
        *arguments.defaults[-len(listed) :],
    ]
    closure = [each for each in listed if each.arg == "closure"]
    asks = any(each.arg in _LOSSES for each in wanted)
    none = ast.copy_location(ast.Constant(None), step)
    rest = [
        (each, none if default is None else default)
        for each, default in zip(listed, defaults, strict=True)
        if each.arg != "closure"
    ]
    had = [d for a, d in zip(listed, defaults, strict=True) if a.arg == "closure"]
    if asks or closure:
        made = closure or [ast.copy_location(ast.arg("closure"), step)]
        arguments.args = [arguments.args[0], *made]
        arguments.defaults = [d for d in had if d is not None and not asks]
    else:
        arguments.args, arguments.defaults = arguments.args[:1], []
    arguments.kwonlyargs = [*(each for each, _ in rest), *arguments.kwonlyargs]
    arguments.kw_defaults = [
        *(default for _, default in rest),
        *(none if each is None else each for each in arguments.kw_defaults),
    ]
