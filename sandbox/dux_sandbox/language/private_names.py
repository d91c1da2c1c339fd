"""`self.__x` within a class is read as the plain name that Python makes of it."""

import ast


def plainly(node: ast.ClassDef) -> bool:
    """Give private names of a class plain ones, in place; whether there were any.

    Python makes `_Name__x` of `__x` in a class `Name`; the name here is `_Name_x`, as a
    source may not use two underscores in front.
    """
    changed = False
    for each in ast.walk(node):
        if isinstance(each, ast.Attribute) and _is_private(each.attr):
            each.attr = _plain(node.name, each.attr)
            changed = True
        elif isinstance(each, ast.FunctionDef) and _is_private(each.name):
            if each in node.body:
                each.name = _plain(node.name, each.name)
                changed = True
    return changed


def _is_private(name: str) -> bool:
    return name.startswith("__") and not name.endswith("__")


def _plain(owner: str, name: str) -> str:
    return f"_{owner.lstrip('_')}_{name.lstrip('_')}"
