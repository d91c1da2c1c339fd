"""Options that a step reads of its groups and only a caller would bring.

`defaults = dict(rho=rho, **kwargs)` and `group["weight_decay"]` in the step: whoever
builds such a rule passes the option by keyword; or in each group, where the base gets
`{}` for options. A rule is built without any.
"""

import ast
from collections.abc import Iterator

from dux_sandbox.findings import Finding
from dux_sandbox.language.placing import placed
from dux_sandbox.language.reads import Reads
from dux_sandbox.language.usual_names import usual
from dux_sandbox.language.usual_values import MOST_WANTED, no_default, put_first
from dux_sandbox.language.values_by_use import of_key


def pass_on(node: ast.ClassDef) -> Iterator[Finding]:
    """Give such options of an optimizer usual values, in place.

    Yields:
        A note on each.
    """
    for init in node.body:
        if not isinstance(init, ast.FunctionDef) or init.name != "__init__":
            continue
        keywords, none = init.args.kwarg, _no_options(init)
        if keywords is not None and not _becomes_options(init, keywords.arg):
            keywords = None
        if keywords is None and none is None:
            return
        known = _named_in(init) | set(_given_later(node))
        reads: Reads | None = None
        for name in list(dict.fromkeys(_read(node)))[:MOST_WANTED]:
            value = usual(ast.arg(name))
            if value is None and name not in known:
                reads = reads or Reads.of(node)
                mode = of_key(name, reads) or ""
                value = ast.literal_eval(mode) if mode.startswith("'") else None
            if name in known or value is None:
                continue
            if keywords is not None:
                put_first(init, f"{keywords.arg}.setdefault({name!r}, {value!r})")
            elif none is not None:
                none.keys.append(_constant(name, none))
                none.values.append(_constant(value, none))
            yield no_default(name, repr(value), init.lineno)


def _no_options(init: ast.FunctionDef) -> ast.Dict | None:
    """The `{}` that is handed to the base for the options of every group."""
    for each in ast.walk(init):
        if isinstance(each, ast.Call) and ast.unparse(each.func).endswith(".__init__"):
            last = each.args[-1] if each.args else None
            for keyword in each.keywords:
                last = keyword.value if keyword.arg == "defaults" else last
            if isinstance(last, ast.Call) and ast.unparse(last) == "dict()":
                made = ast.copy_location(ast.Dict([], []), last)
                each.args = [made if arg is last else arg for arg in each.args]
                for keyword in each.keywords:
                    keyword.value = made if keyword.value is last else keyword.value
                last = made
            if isinstance(last, ast.Dict) and not last.keys:
                return last
    return None


def _constant(value: object, at: ast.expr) -> ast.expr:
    return placed(ast.parse(repr(value), mode="eval").body, at)


def _becomes_options(init: ast.FunctionDef, keywords: str) -> bool:
    """Whether `**keywords` goes into one `dict(...)` or `{...}`, and nowhere else.

    What is spread there as well, `{**DEFAULTS, **keywords}`, may bring every option:
    nothing is put over it.
    """
    found = 0
    for each in ast.walk(init):
        spread: list[ast.expr] = []
        if isinstance(each, ast.Call):
            spread = [given.value for given in each.keywords if given.arg is None]
        elif isinstance(each, ast.Dict):
            pairs = zip(each.keys, each.values, strict=True)
            spread = [value for key, value in pairs if key is None]
        if not any(_is_name(value, keywords) for value in spread):
            continue
        if isinstance(each, ast.Call) and not _is_name(each.func, "dict"):
            return False
        if len(spread) > 1 or (isinstance(each, ast.Call) and each.args):
            return False
        found += 1
    return found == 1


def _is_name(node: ast.expr, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name


def _named_in(init: ast.FunctionDef) -> set[str]:
    """Every name that the constructor gives an option by: as a keyword or a text."""
    keywords = {each.arg for each in ast.walk(init) if isinstance(each, ast.keyword)}
    texts = {each.value for each in ast.walk(init) if isinstance(each, ast.Constant)}
    return {str(each) for each in keywords | texts}


def _of_state(node: ast.AST) -> bool:
    """`self.state[p]["name"]`, or a test whether that is there."""
    if isinstance(node, ast.Compare):
        node = node.comparators[0]
        return isinstance(node, ast.Subscript) and _is_state(node.value)
    return isinstance(node, ast.Subscript) and (
        isinstance(node.value, ast.Subscript) and _is_state(node.value.value)
    )


def _is_state(node: ast.AST) -> bool:
    return isinstance(node, ast.Attribute) and node.attr == "state"


def _given_later(node: ast.ClassDef) -> Iterator[str]:
    """Options that a method writes, or asks for with a default of its own."""
    for each in ast.walk(node):
        if isinstance(each, ast.Subscript) and isinstance(each.ctx, ast.Store):
            if not _of_state(each):
                yield str(getattr(each.slice, "value", ""))
        elif isinstance(each, (ast.Call, ast.Compare)) and not _of_state(each):
            parts = ast.iter_child_nodes(each)
            yield from (str(p.value) for p in parts if isinstance(p, ast.Constant))


def _read(node: ast.ClassDef) -> Iterator[str]:
    """`group["name"]` in any method."""
    for each in ast.walk(node):
        if (
            isinstance(each, ast.Subscript)
            and isinstance(each.ctx, ast.Load)
            and isinstance(each.slice, ast.Constant)
            and isinstance(each.slice.value, str)
            and isinstance(each.value, ast.Name)
            and "group" in each.value.id
        ):
            yield each.slice.value
