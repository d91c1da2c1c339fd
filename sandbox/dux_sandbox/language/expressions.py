"""How calls, items, arithmetic and formats are judged and rewritten."""

import ast

from dux_sandbox.findings import Finding
from dux_sandbox.language import constants, idiom_names, torch_names, vocabulary
from dux_sandbox.language.growing import guard_of
from dux_sandbox.language.judging import Handlers, Judging
from dux_sandbox.language.shapes_in_place import OF_SHAPE


def _call(policy: Judging, node: ast.Call) -> ast.AST:
    """Stars are checked, `out=` made a copy, `"...".format(...)` made safe."""
    out = [keyword for keyword in node.keywords if keyword.arg == "out"]
    if out and policy.path(node.func) == "functools.partial":
        policy.found(
            "call",
            node,
            "the argument out= of a call that comes later",
            "assign the result, or use target.copy_(result)",
        )
    _without_underscore(node)
    _note_flags(policy, node)
    _check_builtin_call(policy, node)
    _check_size(policy, node)
    literal = _literal_format(policy, node)
    if out and isinstance(out[0].value, ast.Tuple):
        unheld = [isinstance(each, ast.Call) for each in out[0].value.elts]
    else:
        unheld = []
    arguments = [policy.visit(argument) for argument in node.args]
    for keyword in node.keywords:
        keyword.value = policy.visit(keyword.value)
        if keyword.arg is None:
            keyword.value = policy.call("@kwargs", [keyword.value], keyword.value)
    node.args = arguments
    if literal is not None:
        node.args.insert(0, literal)
        node.func = policy.load("@format_literal", node)
    else:
        node.func = policy.visit(node.func)
    if any(unheld):
        # torch gives an empty one the shape of the result, and nobody sees it.
        parts = out[0].value.elts  # type: ignore[attr-defined]
        for at, each in enumerate(parts):
            if unheld[at]:
                parts[at] = policy.call("@unheld", [each], each)
    if out:
        # A guard computes it without `out` and copies: torch would resize `out`.
        node.args.insert(0, node.func)
        node.func = policy.load("@into", node)
    return node


def _note_flags(policy: Judging, node: ast.Call) -> None:
    """Flags of other kernels are taken out when torch's own step is called."""
    if policy.path(node.func) in idiom_names.AUTOCAST:
        what = "autocast: a rule computes in the dtypes of its tensors"
        instead = "leave it out, or write x.float() or x.to(torch.bfloat16)"
        policy.notes.append(Finding("left out", node.lineno, what, instead))
    for keyword in node.keywords:
        on = isinstance(keyword.value, ast.Constant) and keyword.value.value is True
        if on and keyword.arg in torch_names.KERNEL_FLAGS:
            policy.notes.append(
                Finding(
                    "left out",
                    node.lineno,
                    f"{keyword.arg}=True is dropped: a rule gets torch's plain kernels",
                    "leave it out",
                )
            )


def _without_underscore(node: ast.Call) -> None:
    """`x.abs().unsqueeze_(0)`: of a value nobody holds, a view will do."""
    method = node.func
    if isinstance(method, ast.Attribute) and isinstance(method.value, ast.Call):
        if method.attr in OF_SHAPE:
            method.attr = method.attr.removesuffix("_")
        elif _of_empty(node, method.value):
            # `x.new().resize_as_(y)`, which is how zeros_like was written once.
            if method.attr == "resize_as_" and len(node.args) == 1:
                shape = ast.Attribute(node.args[0], "shape", ast.Load())
                node.args = [ast.copy_location(shape, node)]
                method.attr = "new_zeros"
            elif method.attr == "resize_" and node.args:
                method.attr = "new_zeros"


def _of_empty(node: ast.Call, made: ast.Call) -> bool:
    """Whether `made().method(...)` makes of nothing, and has plain arguments alone."""
    starred = any(isinstance(each, ast.Starred) for each in node.args)
    return not (starred or made.args or made.keywords or node.keywords)


def _check_builtin_call(policy: Judging, node: ast.Call) -> None:
    if not isinstance(node.func, ast.Name) or node.func.id in policy.bindings.names:
        return
    name, count = node.func.id, len(node.args)
    starred = any(isinstance(a, ast.Starred) for a in node.args)
    if name == "type" and (count != 1 or starred or node.keywords):
        policy.found(
            "call", node, "type() that makes a class", "write a class statement"
        )
    elif name == "iter" and count != 1:
        policy.found(
            "call", node, "iter() that may never end", "write a bounded for loop"
        )
    elif name in ("getattr", "hasattr", "setattr") and count > 1:
        asked = node.args[1]
        text = asked.value if isinstance(asked, ast.Constant) else None
        if name == "hasattr" and text == "__call__" and count == 2:
            node.func.id = "callable"  # says the same, and gives nothing away
            del node.args[1]
        elif isinstance(text, str) and text.startswith("__"):
            instead = "name a plain attribute"
            policy.found("attribute", node, f"{name} of {text}", instead)
    elif name == "range":
        longest = max((policy.arithmetic.number(a) or 0 for a in node.args), default=0)
        if longest > vocabulary.ITEMS:
            policy.found(
                "size",
                node,
                f"a range of more than {vocabulary.ITEMS}",
                "use tensor operations in place of a long Python loop",
            )


def _check_size(policy: Judging, node: ast.Call) -> None:
    method = isinstance(node.func, ast.Attribute) and node.func.attr
    sized = (
        policy.path(node.func) in constants.SIZED or method in constants.SIZED_METHODS
    )
    if sized and policy.arithmetic.elements(node) > vocabulary.ELEMENTS:
        policy.found(
            "size",
            node,
            f"a tensor of more than {vocabulary.ELEMENTS} elements",
            "build tensors of a parameter's own shape: torch.zeros_like(p)",
        )


def _literal_format(policy: Judging, node: ast.Call) -> ast.expr | None:
    if not isinstance(node.func, ast.Attribute) or node.func.attr != "format":
        return None
    if "format" in policy.bindings.attributes:
        return None
    text = node.func.value
    if not isinstance(text, ast.Constant) or not isinstance(text.value, str):
        policy.found(
            "format",
            node,
            "str.format on something that is not a literal",
            'use an f-string: f"{value:.3f}"',
        )
        return policy.text("", node)
    fault = constants.bad_format(text.value)
    if fault is not None:
        policy.found("format", node, fault, 'use an f-string: f"{value:.3f}"')
    return text


def _starred(policy: Judging, node: ast.Starred) -> ast.AST:
    """`*x` in a call or display: x is judged by type and its size is capped."""
    value = policy.visit(node.value)
    if isinstance(node.ctx, ast.Load):
        value = policy.call("@spread", [value], node)
    node.value = value
    return node


def _subscript(policy: Judging, node: ast.Subscript) -> ast.AST:
    """Items are read and written by exact type."""
    value, index = policy.visit(node.value), policy.visit(node.slice)
    if isinstance(node.ctx, ast.Load):
        return policy.call("@getitem", [value, index], node)
    node.value, node.slice = policy.call("@write", [value], node), index
    return node


def _bin_op(policy: Judging, node: ast.BinOp) -> ast.AST:
    """Operators are capped where they could grow."""
    fault = policy.arithmetic.too_large(node)
    if fault is not None:
        policy.found("size", node, fault, "use a smaller number, or a float: 1e12")
    guard = guard_of(policy, node)
    if policy.arithmetic.number(node) is not None:
        guard = None
    made = policy.node_contents_visit(node)
    if guard is None:
        return made
    return policy.call(guard, [made.left, made.right], node)


def _constant(policy: Judging, node: ast.Constant) -> ast.AST:
    """Numbers and strings; no bytes, no giant integers."""
    if isinstance(node.value, bytes):
        policy.found("name", node, "bytes", vocabulary.INSTEAD["bytes"])
    elif isinstance(node.value, int) and node.value.bit_length() > 256:
        policy.found("size", node, "an integer of over 256 bits", "use a float: 1e80")
    return node


def _formatted_value(policy: Judging, node: ast.FormattedValue) -> ast.AST:
    """Values in f-strings are formatted by a guard, with a literal format."""
    spec = ""
    if node.format_spec is not None:
        assert isinstance(node.format_spec, ast.JoinedStr)
        for part in node.format_spec.values:
            if isinstance(part, ast.Constant) and isinstance(part.value, str):
                spec += part.value
            else:
                policy.found(
                    "format",
                    node,
                    "a format width that is computed",
                    'write the width as a number: f"{x:.3f}"',
                )
    if constants.wide(spec):
        policy.found(
            "format",
            node,
            f"a format width over {vocabulary.FORMAT_WIDTH}",
            'use a small width: f"{x:.3f}"',
        )
    how = [policy.text(node.conversion, node), policy.text(spec, node)]
    value = policy.call("@format", [policy.visit(node.value), *how], node)
    made = ast.FormattedValue(value=value, conversion=-1, format_spec=None)
    return ast.copy_location(made, node)


HANDLERS: Handlers = {
    "Call": _call,
    "Starred": _starred,
    "Subscript": _subscript,
    "BinOp": _bin_op,
    "Constant": _constant,
    "FormattedValue": _formatted_value,
}
"""What is called for a node, by the name of its kind."""
