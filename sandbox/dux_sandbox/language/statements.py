"""How statements are judged and rewritten."""

import ast

from RestrictedPython.transformer import IOPERATOR_TO_STR

from dux_sandbox.language.expressions import Expressions
from dux_sandbox.language.judging import located


class Statements(Expressions):
    """Assignments, loops, exceptions, contexts and patterns."""

    # Assignment

    def visit_Assign(self, node: ast.Assign) -> ast.AST:
        """One target on an object becomes one guarded call; the rest write by proxy."""
        for target in node.targets:
            if (
                isinstance(target, ast.Attribute)
                and target.attr == "grad"
                and isinstance(node.value, ast.Constant)
            ):
                self.found(
                    "write",
                    node,
                    "writing a constant to .grad",
                    "leave gradients to the training loop's zero_grad()",
                )
        display = isinstance(node.value, (ast.Tuple, ast.List))
        value = self.visit(node.value)
        target = node.targets[0]
        if len(node.targets) == 1 and isinstance(target, ast.Subscript):
            item = [self.visit(target.value), self.visit(target.slice)]
            return self._statement(self.call("@setitem", [value, *item], node))
        if len(node.targets) == 1 and isinstance(target, ast.Attribute):
            if _shares_groups(target, node.value):
                held = [value, self.visit(target.value)]
                return self._statement(self.call("@same_groups", held, node))
            self._check_written(target)
            name = self.text(target.attr, node)
            made = self.call("@setattr", [value, self.visit(target.value), name], node)
            return self._statement(made)
        for each in node.targets:
            value = self.assigned(each, value, display=display)
        node.targets = [self.visit(t) for t in node.targets]
        node.value = value
        return node

    def _statement(self, call: ast.Call) -> ast.Expr:
        return ast.Expr(call, **located(call))

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        """`x: int = 1` becomes `x = 1`; a bare declaration becomes nothing."""
        self.check_annotation(node.annotation)
        if node.value is None:
            if isinstance(node.target, ast.Name):
                self.check_name(node.target, node.target.id)
            return ast.copy_location(ast.Pass(), node)
        plain = ast.Assign(targets=[node.target], value=node.value)
        return self.visit_Assign(ast.copy_location(plain, node))

    def visit_AugAssign(self, node: ast.AugAssign) -> ast.AST | list[ast.stmt]:
        """`a.b[c] += d` reads and writes by guard; a, b and c are computed once.

        The parts of the target go into variables of names no source can spell where
        computing the value could change them.
        """
        operator = self.text(IOPERATOR_TO_STR[type(node.op)], node)
        target = node.target
        if isinstance(target, ast.Name):
            current = self.visit(
                ast.copy_location(ast.Name(target.id, ast.Load()), node)
            )
            parts = [operator, current, self.visit(node.value)]
            stored = self.visit(target)
            made = ast.Assign([stored], self.call("@inplace", parts, node))
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
        holder = self._kept(target.value, before, calm)
        if isinstance(target, ast.Attribute):
            self._check_written(target)
            self._check_read(target, target.attr)
            name = self.text(target.attr, node)
            current = self.call("@getattr", [holder(), name], node)
            place = [holder(), self.text(target.attr, node)]
            write = "@setattr"
        else:
            index = self._kept(target.slice, before, calm)
            current = self.call("@getitem", [holder(), index()], node)
            place = [holder(), index()]
            write = "@setitem"
        parts = [operator, current, self.visit(node.value)]
        value = self.call("@inplace", parts, node)
        return [*before, self._statement(self.call(write, [value, *place], node))]

    def _kept(self, node: ast.expr, before: list[ast.stmt], calm: bool):  # type: ignore[no-untyped-def]
        """A maker of reads of `node`, which is computed at most once."""
        simple = isinstance(node, ast.Constant) or (calm and isinstance(node, ast.Name))
        if simple:
            return lambda: self.visit(_copy(node))
        name = self.gen_tmp_name().replace("_", "@")
        value = self.visit(node)
        stored = ast.copy_location(ast.Name(name, ast.Store()), node)
        before.append(ast.copy_location(ast.Assign([stored], value), node))
        return lambda: self.load(name, node)

    # Loops

    def visit_For(self, node: ast.For) -> ast.AST:
        """What is iterated is judged by exact type."""
        pattern = node.target
        made = self.node_contents_visit(node)
        made.iter = self.iterated(pattern, made.iter)
        return made

    def visit_comprehension(self, node: ast.comprehension) -> ast.AST:
        """As `for`, and never asynchronous."""
        if node.is_async:
            self.found("statement", node.target, "async for", "use a plain for")
        pattern = node.target
        made = self.node_contents_visit(node)
        made.iter = self.iterated(pattern, made.iter)
        return made

    def visit_While(self, node: ast.While) -> ast.AST:
        """Every turn is counted; a loop that plainly never ends is refused."""
        always = isinstance(node.test, ast.Constant) and bool(node.test.value)
        idle = all(
            isinstance(inner, (ast.Pass, ast.Continue))
            or (isinstance(inner, ast.Expr) and isinstance(inner.value, ast.Constant))
            for inner in node.body
        )
        if (always and node in self.flow.endless) or (
            idle and not any(isinstance(n, ast.Call) for n in ast.walk(node.test))
        ):
            self.found(
                "loop",
                node,
                "a loop that never ends",
                "for _ in range(a_small_number):",
            )
        made = self.node_contents_visit(node)
        counted = [self.call("@tick", [], node), made.test]
        made.test = ast.copy_location(ast.BoolOp(ast.And(), counted), node)
        return made

    # Exceptions and contexts

    def visit_Try(self, node: ast.Try) -> ast.AST:
        """`finally` may not swallow what is on its way out; see `check_finally`."""
        return self.node_contents_visit(node)

    def check_finally(self) -> None:
        """Report what leaves a `finally` early."""
        for statement in self.flow.early:
            self.found(
                "statement",
                statement,
                "leaving a finally block early",
                "use except Exception: and put the statement after the try",
            )

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> ast.AST:
        """A bare `except:` means `except Exception:`."""
        self.check_name(node, node.name)
        made = self.node_contents_visit(node)
        if made.type is None:
            made.type = self.load("@Exception", node)
        return made

    def visit_With(self, node: ast.With) -> ast.AST:
        """No generator may stop inside: it would leave the context entered."""
        for item in node.items:
            target = item.optional_vars
            if target is not None and not isinstance(target, ast.Name):
                self.found(
                    "statement", node, "with ... as a pattern", "bind a single name"
                )
        self.inside_with += 1
        made = self.node_contents_visit(node)
        self.inside_with -= 1
        return made

    def visit_Yield(self, node: ast.Yield) -> ast.AST:
        """Generators may yield anywhere but inside `with`."""
        self._check_yield(node)
        return self.node_contents_visit(node)

    def visit_YieldFrom(self, node: ast.YieldFrom) -> ast.AST:
        """As `yield`; what is iterated is judged by exact type."""
        self._check_yield(node)
        node.value = self.call("@iterable", [self.visit(node.value)], node)
        return node

    def _check_yield(self, node: ast.AST) -> None:
        if self.inside_with:
            self.found("statement", node, "yield inside with", "return a list instead")

    def visit_MatchValue(self, node: ast.MatchValue) -> ast.AST:
        """Only literals: a dotted name would be read without a guard."""
        parts = (ast.Constant, ast.UnaryOp, ast.USub, ast.Load)
        if not all(isinstance(inner, parts) for inner in ast.walk(node.value)):
            self.found(
                "statement", node, "a pattern that is no literal", "use if and =="
            )
        return node

    def visit_MatchMapping(self, node: ast.MatchMapping) -> ast.AST:
        """Keys are literals; the rest may be bound."""
        self.check_name(node, node.rest)
        if not all(isinstance(key, ast.Constant) for key in node.keys):
            self.found(
                "statement", node, "a pattern that is no literal", "use if and =="
            )
        node.patterns = [self.visit(pattern) for pattern in node.patterns]
        return node

    def visit_MatchAs(self, node: ast.MatchAs) -> ast.AST:
        """A capture binds a name."""
        self.check_name(node, node.name)
        return self.node_contents_visit(node)

    def visit_MatchStar(self, node: ast.MatchStar) -> ast.AST:
        """A starred capture binds a name."""
        self.check_name(node, node.name)
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
