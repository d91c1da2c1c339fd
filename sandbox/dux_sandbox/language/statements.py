"""How statements are judged and rewritten."""

import ast

from RestrictedPython.transformer import IOPERATOR_TO_STR

from dux_sandbox.language.growing import assigned, iterated
from dux_sandbox.language.judging import Handlers, Judging, located
from dux_sandbox.language.names import check_read, check_written

# Assignment


def _assign(policy: Judging, node: ast.Assign) -> ast.AST:
    """One target on an object becomes one guarded call; the rest write by proxy."""
    for target in node.targets:
        if (
            isinstance(target, ast.Attribute)
            and target.attr == "grad"
            and isinstance(node.value, ast.Constant)
        ):
            policy.found(
                "write",
                node,
                "writing a constant to .grad",
                "leave gradients to the training loop's zero_grad()",
            )
    display = isinstance(node.value, (ast.Tuple, ast.List))
    value = policy.visit(node.value)
    target = node.targets[0]
    if len(node.targets) == 1 and isinstance(target, ast.Subscript):
        item = [policy.visit(target.value), policy.visit(target.slice)]
        return _statement(policy, policy.call("@setitem", [value, *item], node))
    if len(node.targets) == 1 and isinstance(target, ast.Attribute):
        if _shares_groups(target, node.value):
            held = [value, policy.visit(target.value)]
            return _statement(policy, policy.call("@same_groups", held, node))
        check_written(policy, target)
        name = policy.text(target.attr, node)
        made = policy.call("@setattr", [value, policy.visit(target.value), name], node)
        return _statement(policy, made)
    for each in node.targets:
        value = assigned(policy, each, value, display=display)
    node.targets = [policy.visit(t) for t in node.targets]
    node.value = value
    return node


def _statement(policy: Judging, call: ast.Call) -> ast.Expr:
    return ast.Expr(call, **located(call))


def _ann_assign(policy: Judging, node: ast.AnnAssign) -> ast.AST:
    """`x: int = 1` becomes `x = 1`; a bare declaration becomes nothing."""
    policy.check_annotation(node.annotation)
    if node.value is None:
        if isinstance(node.target, ast.Name):
            policy.check_name(node.target, node.target.id)
        return ast.copy_location(ast.Pass(), node)
    plain = ast.Assign(targets=[node.target], value=node.value)
    return _assign(policy, ast.copy_location(plain, node))


def _aug_assign(policy: Judging, node: ast.AugAssign) -> ast.AST | list[ast.stmt]:
    """`a.b[c] += d` reads and writes by guard; a, b and c are computed once.

    The parts of the target go into variables of names no source can spell where
    computing the value could change them.
    """
    operator = policy.text(IOPERATOR_TO_STR[type(node.op)], node)
    target = node.target
    if isinstance(target, ast.Name):
        current = policy.visit(ast.copy_location(ast.Name(target.id, ast.Load()), node))
        parts = [operator, current, policy.visit(node.value)]
        stored = policy.visit(target)
        made = ast.Assign([stored], policy.call("@inplace", parts, node))
        return ast.copy_location(made, node)
    before: list[ast.stmt] = []
    computed = [node.value]
    if isinstance(target, ast.Subscript):
        computed.append(target.slice)
    calm = not any(
        isinstance(inner, (ast.Call, ast.NamedExpr))
        for part in computed
        for inner in ast.walk(part)
    )
    holder = _kept(policy, target.value, before, calm)
    if isinstance(target, ast.Attribute):
        check_written(policy, target)
        check_read(policy, target, target.attr)
        name = policy.text(target.attr, node)
        current = policy.call("@getattr", [holder(), name], node)
        place = [holder(), policy.text(target.attr, node)]
        write = "@setattr"
    else:
        index = _kept(policy, target.slice, before, calm)
        current = policy.call("@getitem", [holder(), index()], node)
        place = [holder(), index()]
        write = "@setitem"
    parts = [operator, current, policy.visit(node.value)]
    value = policy.call("@inplace", parts, node)
    return [*before, _statement(policy, policy.call(write, [value, *place], node))]


def _kept(policy: Judging, node: ast.expr, before: list[ast.stmt], calm: bool):  # type: ignore[no-untyped-def]
    """A maker of reads of `node`, which is computed at most once."""
    simple = isinstance(node, ast.Constant) or (calm and isinstance(node, ast.Name))
    if simple:
        return lambda: policy.visit(_copy(node))
    name = policy.gen_tmp_name().replace("_", "@")
    value = policy.visit(node)
    stored = ast.copy_location(ast.Name(name, ast.Store()), node)
    before.append(ast.copy_location(ast.Assign([stored], value), node))
    return lambda: policy.load(name, node)


# Loops


def _for(policy: Judging, node: ast.For) -> ast.AST:
    """What is iterated is judged by exact type."""
    pattern = node.target
    made = policy.node_contents_visit(node)
    made.iter = iterated(policy, pattern, made.iter)
    return made


def _comprehension(policy: Judging, node: ast.comprehension) -> ast.AST:
    """As `for`, and never asynchronous."""
    if node.is_async:
        policy.found("statement", node.target, "async for", "use a plain for")
    pattern = node.target
    made = policy.node_contents_visit(node)
    made.iter = iterated(policy, pattern, made.iter)
    return made


def _while(policy: Judging, node: ast.While) -> ast.AST:
    """Every turn is counted; a loop that plainly never ends is refused."""
    always = isinstance(node.test, ast.Constant) and bool(node.test.value)
    idle = all(
        isinstance(inner, (ast.Pass, ast.Continue))
        or (isinstance(inner, ast.Expr) and isinstance(inner.value, ast.Constant))
        for inner in node.body
    )
    if (always and node in policy.flow.endless) or (
        idle and not any(isinstance(n, ast.Call) for n in ast.walk(node.test))
    ):
        policy.found(
            "loop",
            node,
            "a loop that never ends",
            "for _ in range(a_small_number):",
        )
    made = policy.node_contents_visit(node)
    counted = [policy.call("@tick", [], node), made.test]
    made.test = ast.copy_location(ast.BoolOp(ast.And(), counted), node)
    return made


# Exceptions and contexts


def _try(policy: Judging, node: ast.Try) -> ast.AST:
    """`finally` may not swallow what is on its way out; see `check_finally`."""
    return policy.node_contents_visit(node)


def check_finally(policy: Judging) -> None:
    """Report what leaves a `finally` early."""
    for statement in policy.flow.early:
        policy.found(
            "statement",
            statement,
            "leaving a finally block early",
            "use except Exception: and put the statement after the try",
        )


def _except_handler(policy: Judging, node: ast.ExceptHandler) -> ast.AST:
    """A bare `except:` means `except Exception:`."""
    policy.check_name(node, node.name)
    made = policy.node_contents_visit(node)
    if made.type is None:
        made.type = policy.load("@Exception", node)
    return made


def _with(policy: Judging, node: ast.With) -> ast.AST:
    """No generator may stop inside: it would leave the context entered."""
    for item in node.items:
        target = item.optional_vars
        if target is not None and not isinstance(target, ast.Name):
            policy.found(
                "statement", node, "with ... as a pattern", "bind a single name"
            )
    policy.inside_with += 1
    made = policy.node_contents_visit(node)
    policy.inside_with -= 1
    return made


def _yield(policy: Judging, node: ast.Yield) -> ast.AST:
    """Generators may yield anywhere but inside `with`; what they give is counted."""
    _check_yield(policy, node)
    given = [] if node.value is None else [policy.visit(node.value)]
    node.value = policy.call("@yielded", given, node)
    return node


def _yield_from(policy: Judging, node: ast.YieldFrom) -> ast.AST:
    """As `yield`; what is iterated is judged by exact type."""
    _check_yield(policy, node)
    node.value = policy.call("@delegated", [policy.visit(node.value)], node)
    return node


def _check_yield(policy: Judging, node: ast.AST) -> None:
    if policy.inside_with:
        policy.found("statement", node, "yield inside with", "return a list instead")


def _match_value(policy: Judging, node: ast.MatchValue) -> ast.AST:
    """Only literals: a dotted name would be read without a guard."""
    parts = (ast.Constant, ast.UnaryOp, ast.USub, ast.Load)
    if not all(isinstance(inner, parts) for inner in ast.walk(node.value)):
        policy.found("statement", node, "a pattern that is no literal", "use if and ==")
    return node


def _match_mapping(policy: Judging, node: ast.MatchMapping) -> ast.AST:
    """Keys are literals; the rest may be bound."""
    policy.check_name(node, node.rest)
    if not all(isinstance(key, ast.Constant) for key in node.keys):
        policy.found("statement", node, "a pattern that is no literal", "use if and ==")
    node.patterns = [policy.visit(pattern) for pattern in node.patterns]
    return node


def _match_as(policy: Judging, node: ast.MatchAs) -> ast.AST:
    """A capture binds a name."""
    policy.check_name(node, node.name)
    return policy.node_contents_visit(node)


def _match_star(policy: Judging, node: ast.MatchStar) -> ast.AST:
    """A starred capture binds a name."""
    policy.check_name(node, node.name)
    return node


def _shares_groups(target: ast.Attribute, value: ast.expr) -> bool:
    """`self.param_groups = self.inner.param_groups`: of a rule around an optimizer."""
    named = "param_groups"
    return (
        target.attr == named
        and isinstance(value, ast.Attribute)
        and value.attr == named
    )


def _copy(node: ast.expr) -> ast.expr:
    if isinstance(node, ast.Name):
        return ast.copy_location(ast.Name(node.id, ast.Load()), node)
    assert isinstance(node, ast.Constant)
    return ast.copy_location(ast.Constant(node.value), node)


HANDLERS: Handlers = {
    "Assign": _assign,
    "AnnAssign": _ann_assign,
    "AugAssign": _aug_assign,
    "For": _for,
    "comprehension": _comprehension,
    "While": _while,
    "Try": _try,
    "ExceptHandler": _except_handler,
    "With": _with,
    "Yield": _yield,
    "YieldFrom": _yield_from,
    "MatchValue": _match_value,
    "MatchMapping": _match_mapping,
    "MatchAs": _match_as,
    "MatchStar": _match_star,
}
"""What is called for a node, by the name of its kind."""
