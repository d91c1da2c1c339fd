"""Constructors that take something before the parameters: `Rule(cfg, params)`.

A rule is built as `Rule(params)`, so the parameters are put first; what stood before
them gets a usual value, as what stands after them does.
"""

import ast

from dux_sandbox.findings import Finding

_PARAMETERS = frozenset("params parameters model_params model_parameters".split())


def put_parameters_first(node: ast.ClassDef) -> list[Finding]:
    """Move the argument of a constructor that is named for the parameters, in place.

    Returns:
        A note; none where it stands first, or is not there.
    """
    for init in node.body:
        if not isinstance(init, ast.FunctionDef) or init.name != "__init__":
            continue
        arguments = init.args
        names = [each.arg for each in arguments.args]
        found = [at for at, name in enumerate(names) if name in _PARAMETERS]
        if arguments.posonlyargs or not found or found[0] < 2:
            return []
        at = found[0]
        bare = len(names) - len(arguments.defaults)
        if at >= bare:
            del arguments.defaults[at - bare]
        # What stood before is demanded still: none of it had a default behind it.
        arguments.args.insert(1, arguments.args.pop(at))
        message = f"{names[at]} of __init__ is taken first"
        instead = f"write def __init__(self, {names[at]}, ...):"
        return [Finding("default", init.lineno, message, instead)]
    return []
