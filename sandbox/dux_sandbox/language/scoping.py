"""How names of other scopes, and names of no scope, are judged and rewritten."""

import ast
import builtins

from dux_sandbox.findings import Finding
from dux_sandbox.language import vocabulary
from dux_sandbox.language.judging import Handlers, Judging


def _nonlocal(policy: Judging, node: ast.Nonlocal) -> ast.AST:
    """Harmless: guards are no names of the source."""
    for name in node.names:
        policy.check_name(node, name)
    return node


def _global(policy: Judging, node: ast.Global) -> ast.AST:
    """Of a variable of the module, with a note: nobody saves what it holds."""
    for name in node.names:
        policy.check_name(node, name)
        if name in policy.bindings.variables:
            policy.notes.append(
                Finding(
                    "not saved",
                    node.lineno,
                    f"{name} is kept by the module and begins anew with each rule",
                    "keep the value on self: it is saved with the rule",
                )
            )
        else:
            instead = "keep the value on self: it is saved with the rule"
            found = f"global {name}, which no statement of the module assigns to"
            policy.found("statement", node, found, instead)
    return node


def _raise(policy: Judging, node: ast.Raise) -> ast.AST:
    """A name that nothing binds, in what is raised, is what Python would raise."""
    missing = [
        each
        for each in ast.walk(node)
        if isinstance(each, ast.Name) and _is_nowhere(policy, each.id)
    ]
    if not missing:
        return policy.node_contents_visit(node)
    before = len(policy.findings)
    made = policy.node_contents_visit(node)
    told = policy.findings[before:]
    if {each.rule for each in told} != {"name"} or len(told) != len(missing):
        return made
    del policy.findings[before:]
    name = min(missing, key=lambda each: (each.lineno, each.col_offset)).id
    what = f"the name {name}, which nothing binds, in what is raised"
    policy.notes.append(Finding("left out", node.lineno, what, "mend the name"))
    made.exc = policy.call("@unbound", [policy.text(name, node)], node)
    made.cause = None
    return made


def _is_nowhere(policy: Judging, name: str) -> bool:
    """Whether a name is neither a source's own nor Python's nor a module's."""
    return not (
        name in policy.bindings.names
        or name.startswith("_")
        or hasattr(builtins, name)
        or name in vocabulary.MODULES
        or name in vocabulary.INSTEAD
    )


HANDLERS: Handlers = {
    "Nonlocal": _nonlocal,
    "Global": _global,
    "Raise": _raise,
}
"""What is called for a node, by the name of its kind."""
