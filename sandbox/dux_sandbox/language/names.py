"""How names and attributes are judged and rewritten."""

import ast
from collections.abc import Iterable

from dux_sandbox.language import idiom_names, torch_names, vocabulary
from dux_sandbox.language.judging import Handlers, Judging, known_path
from dux_sandbox.language.torch_names import global_of

_KEPT_DUNDERS = ("__init__", "__setstate__")
_MOST_COMPARED = 10
_OWN = torch_names.OPTIMIZER_OWN | torch_names.KEPT_FOR_RULES
_OWN -= torch_names.OF_STOCK_OPTIMIZERS


def _name(policy: Judging, node: ast.Name) -> ast.AST:
    """Imported names become guarded globals; unknown ones are reported."""
    if not isinstance(node.ctx, ast.Load):
        policy.check_name(node, node.id)
        if policy.scopes[-1:] == ["class"] and node.id in _OWN:
            if not policy.helpers.may_define(policy.inside, node.id):
                refuse_own(policy, node, node.id)
        return node
    if node.id == "__name__":
        return policy.text("rule", node)
    if node.id in idiom_names.MODULE_DUNDERS:
        return policy.text("", node)  # left out, as what is written there
    known = policy.bindings.modules.get(node.id)
    if known is not None:
        return policy.load(global_of(known), node) if known_path(known) else node
    policy.check_name(node, node.id)
    if node.id in policy.bindings.names or node.id.startswith("__"):
        return node
    if node.id not in vocabulary.BUILTINS:
        default = "define it first"
        if node.id in vocabulary.MODULES:
            default = f"write import {node.id} at the top"
        instead = vocabulary.instead_of(node.id, default)
        policy.found("name", node, f"the name {node.id} is not available", instead)
    return node


def refuse_own(policy: Judging, node: ast.AST, name: str) -> None:
    instead = "choose another name; use self.state[p] and group[...] as they are"
    if name == "param_groups":
        instead = (
            "use group[...] as it is: the groups are the training's, and its schedules "
            "write there; keep inner optimizers on self, or loop over the groups and "
            "tell matrices by p.ndim"
        )
    policy.found("write", node, f"{name} belongs to torch's Optimizer", instead)


# Attributes


def _attribute(policy: Judging, node: ast.Attribute) -> ast.AST:
    """`a.b` becomes a guarded read; a path into a module is resolved at once."""
    if not isinstance(node.ctx, ast.Load):
        check_written(policy, node)
        value = policy.visit(node.value)
        node.value = policy.call("@write", [value], node)
        return node
    if node.attr == "__name__":
        inner = _class_of(policy, node.value)
        if inner is not None:
            return policy.call("@class_name", [policy.visit(inner)], node)
    if policy.path(node) is not None:
        return _resolved(policy, node)
    check_read(policy, node, node.attr)
    value = policy.visit(node.value)
    return policy.call("@getattr", [value, policy.text(node.attr, node)], node)


def _class_of(policy: Judging, node: ast.AST) -> ast.expr | None:
    """x of `x.__class__` or `type(x)`, whose `.__name__` is a harmless string."""
    if isinstance(node, ast.Attribute) and node.attr == "__class__":
        return node.value
    if (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "type"
        and len(node.args) == 1
        and not node.keywords
        and not isinstance(node.args[0], ast.Starred)
    ):
        return node.args[0]
    return None


def check_read(policy: Judging, node: ast.AST, name: str) -> None:
    if name.startswith("__"):
        if name not in _KEPT_DUNDERS:
            default = "leave it out; names with two underscores are not available"
            instead = vocabulary.instead_of(name, default)
            policy.found("attribute", node, f"the attribute {name}", instead)
        return
    allowed = name in vocabulary.ATTRIBUTES or name in policy.bindings.attributes
    private = (
        name in torch_names.OPTIMIZER_OWN and name not in torch_names.OPTIMIZER_READABLE
    )
    if name in torch_names.OPTIMIZER_HELPERS:
        return
    if name in torch_names.OF_STOCK_OPTIMIZERS:
        private = False  # judged by what the class is built on, when it is made
    if not private and not allowed and _of_self(node):
        instead = vocabulary.instead_of(name) or (
            "set it in __init__, or take out what reads it"
        )
        message = f"self.{name} is set nowhere in the source"
        policy.found("attribute", node, message, instead)
    elif private or not allowed:
        instead = vocabulary.instead_of(name) or _nearest(
            policy, name, vocabulary.ATTRIBUTES
        )
        policy.found(
            "attribute", node, f"the attribute {name} is not available", instead
        )


def _of_self(node: ast.AST) -> bool:
    owner = node.value if isinstance(node, ast.Attribute) else None
    return isinstance(owner, ast.Name) and owner.id == "self"


def check_written(policy: Judging, node: ast.Attribute) -> None:
    name = node.attr
    if name.startswith("__"):
        policy.found(
            "write", node, f"writing {name}", "choose a name without underscores"
        )
    elif name in _OWN:
        if not policy.helpers.may_write(policy.inside, node):
            refuse_own(policy, node, name)
    elif name == "requires_grad":
        policy.found(
            "write",
            node,
            "writing requires_grad",
            vocabulary.INSTEAD["requires_grad_"],
        )
    elif policy.path(node.value) is not None:
        policy.found("write", node, f"writing {name} into a module", "keep it on self")


def _resolved(policy: Judging, node: ast.Attribute) -> ast.AST:
    """Walk a dotted chain through the tables; what is left is read by guard."""
    chain: list[ast.Attribute] = []
    root: ast.expr = node
    while isinstance(root, ast.Attribute):
        chain.append(root)
        root = root.value
    assert isinstance(root, ast.Name)
    found = policy.bindings.modules[root.id]
    if not known_path(found):
        return node  # the import itself was reported
    made: ast.expr = policy.load(global_of(found), root)
    for link in reversed(chain):
        if f"{found}.{link.attr}" == torch_names.VERSION:
            found = ""
            made = policy.load(torch_names.global_of(torch_names.VERSION), link)
        elif found in vocabulary.MODULES:
            if not known_path(f"{found}.{link.attr}"):
                not_in_module(policy, link, found, link.attr)
                return policy.call(
                    "@getattr", [made, policy.text(link.attr, link)], link
                )
            found = f"{found}.{link.attr}"
            made = policy.load(global_of(found), link)
        else:
            found = ""
            check_read(policy, link, link.attr)
            made = policy.call("@getattr", [made, policy.text(link.attr, link)], link)
    return made


def not_in_module(policy: Judging, node: ast.AST, module: str, name: str) -> None:
    policy.found(
        "attribute",
        node,
        f"{module}.{name} is not available",
        vocabulary.instead_of(name)
        or vocabulary.instead_of(f"{module}.*")
        or _nearest(policy, name, vocabulary.MODULES[module], f" of {module}"),
    )


def _nearest(policy: Judging, name: str, known: Iterable[str], of: str = "") -> str:
    """The cure for a name that is not in the table; looked for a few times only."""
    policy.compared += 1
    found = ""
    if policy.compared <= _MOST_COMPARED:
        public = [each for each in known if not each.startswith("_")]
        found = vocabulary.nearest(name, public)
    if found:
        return f"{found}{of}, if that is meant"
    return "compute it from what a rule may use"


HANDLERS: Handlers = {
    "Name": _name,
    "Attribute": _attribute,
}
"""What is called for a node, by the name of its kind."""
