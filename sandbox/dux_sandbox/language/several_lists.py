"""Rules that want their parameters in several lists, and none that holds them all.

`Muon(lr=0.02, muon_params=None, adamw_params=None)` is built by keywords. A rule is
built as `Rule(params)`: the first of its lists gets the matrices then, and the second,
where there is one, all that is left.
"""

import ast

from dux_sandbox.findings import Finding
from dux_sandbox.language.usual_values import put_first

_GIVEN = "all_params"  # what the constructor is given in front
_ENDS = ("params", "parameters")
_SPLIT = """
if {first} is None:
    {given} = [
        each
        for group in {given}
        for each in (group["params"] if isinstance(group, dict) else [group])
    ]
    {first} = [each for each in {given} if {matrix}]
"""
_REST = "    {second} = [each for each in {given} if each.ndim != 2]\n"


def split(node: ast.ClassDef) -> Finding | None:
    """Have the constructor of such a class take parameters first, in place.

    Returns:
        The note on it; None where the class is no such one.
    """
    init = next(
        (
            each
            for each in node.body
            if isinstance(each, ast.FunctionDef) and each.name == "__init__"
        ),
        None,
    )
    lists = [] if init is None else lists_of(init.args)
    if init is None or not lists:
        return None
    first = lists[0]
    second = lists[1] if len(lists) > 1 else ""
    text = _SPLIT.format(
        first=first, given=_GIVEN, matrix="each.ndim == 2" if second else "True"
    )
    text += _REST.format(second=second, given=_GIVEN) if second else ""
    argument = ast.copy_location(ast.arg(_GIVEN), init.args.args[0])
    init.args.args.insert(1, argument)
    put_first(init, text)
    rest = f" and the others {second}" if second else ""
    whole = "matrices" if second else "parameters"
    return Finding(
        "default",
        init.lineno,
        f"{first} has no value; {whole} become {first}{rest}",
        "write def __init__(self, params, ...) and split them there",
    )


def lists_of(arguments: ast.arguments) -> list[str]:
    """The lists of parameters that are None by default, where all arguments have one.

    Nothing where the first argument is such a list: it gets the parameters.
    """
    named = arguments.args[1:]
    if len(arguments.defaults) < len(named) or arguments.posonlyargs:
        return []
    if named and named[0].arg.endswith(_ENDS):
        return []
    defaults = arguments.defaults[len(arguments.defaults) - len(named) :]
    pairs = [
        *zip(named, defaults, strict=True),
        *zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True),
    ]
    return [
        argument.arg
        for argument, default in pairs
        if argument.arg.endswith(_ENDS)
        and isinstance(default, ast.Constant)
        and default.value is None
    ]
