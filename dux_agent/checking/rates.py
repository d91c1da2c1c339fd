"""A source whose rates are a share of what its file gives them."""

import ast
from collections.abc import Iterator

from dux_sandbox.language.usual_names import RATES


def at_share_of_its_rate(source: str, share: float) -> str | None:
    """The source with the default rates of its constructors times `share`.

    None where there is no number to be found by the name of a rate.

    >>> at_share_of_its_rate("def __init__(self, params, lr=0.5): ...", 0.1)
    'def __init__(self, params, lr=0.05): ...'
    """
    lines = source.splitlines(keepends=True)
    found = sorted(_rates(ast.parse(source)), key=lambda each: each.lineno)
    if not found:
        return None
    for number in reversed(found):
        # Offsets are in bytes.
        line = lines[number.lineno - 1].encode()
        begin, end = number.col_offset, number.end_col_offset
        new = repr(float(ast.literal_eval(number)) * share).encode()
        lines[number.lineno - 1] = (line[:begin] + new + line[end:]).decode()
    return "".join(lines)


def _rates(tree: ast.Module) -> Iterator[ast.Constant]:
    for node in ast.walk(tree):
        if not isinstance(node, ast.FunctionDef) or node.name != "__init__":
            continue
        named = node.args.posonlyargs + node.args.args
        usual = node.args.defaults
        arguments = [*named[len(named) - len(usual) :], *node.args.kwonlyargs]
        values: list[ast.expr | None] = [*usual, *node.args.kw_defaults]
        for argument, value in zip(arguments, values, strict=True):
            if (
                argument.arg in RATES
                and isinstance(value, ast.Constant)
                and isinstance(value.value, (int, float))
                and value.lineno == value.end_lineno
            ):
                yield value
