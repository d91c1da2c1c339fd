"""Dataclasses, written out as the plain classes that they stand for.

`@dataclass` would make its `__init__` from text while the source runs. Here it is
written into the tree before the tree is judged, and is judged with it.
"""

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass

Path = Callable[[ast.AST], str | None]
_DATACLASS = "dataclasses.dataclass"
_FIELD = "dataclasses.field"
_NAMED_TUPLES = ("typing.NamedTuple", "typing_extensions.NamedTuple")
_TYPED_DICTS = ("typing.TypedDict", "typing_extensions.TypedDict")
MAKER = "make_namedtuple"
_AFTER = "_after_init"  # what `__post_init__` is called here


@dataclass(frozen=True)
class _Field:
    """One field: its name, and how its value is found where none is given."""

    name: str
    default: ast.expr | None = None
    factory: ast.expr | None = None
    given: bool = True  # an argument of __init__


class Records:
    """Writes out the dataclasses of one source, in the order of the source."""

    def __init__(self, path: Path) -> None:
        """`path` gives the dotted path that a name stands for, by the imports."""
        self._path = path
        self._fields: dict[str, list[_Field]] = {}
        self._dicts: set[str] = set()  # classes on TypedDict, by name

    def write_out(self, node: ast.ClassDef) -> bool:
        """Make a plain class of a dataclass, in place; whether it was one."""
        kept = [each for each in node.decorator_list if not self._makes(each)]
        if len(kept) == len(node.decorator_list):
            return False
        node.decorator_list = kept
        fields = {each.name: each for each in self._inherited(node)}
        body: list[ast.stmt] = []
        after = has_init = False
        for statement in node.body:
            found = self._field(statement)
            if found is not None:
                fields[found.name] = found
            else:
                body.append(statement)
            if isinstance(statement, ast.FunctionDef):
                has_init |= statement.name == "__init__"
                if statement.name == "__post_init__":
                    statement.name, after = _AFTER, True
        self._fields[node.name] = list(fields.values())
        if not has_init:
            body.append(_init_of(list(fields.values()), after, node))
        node.body = body
        return True

    def written(self, tree: ast.Module) -> bool:
        """Have plain statements for named tuples and typed dicts at the top, in place.

        Returns:
            Whether there was one.
        """
        dicts = [self.typed_dict(each) or each for each in tree.body]
        tuples = [self.named_tuple(each) or each for each in dicts]
        changed = tuples != tree.body
        tree.body = tuples if tuples == dicts else [_maker_import(tuples[0]), *tuples]
        return changed

    def named_tuple(self, node: ast.stmt) -> ast.stmt | None:
        """`Name = namedtuple("Name", [...])` for a class of fields only, or None."""
        if not isinstance(node, ast.ClassDef) or len(node.bases) != 1:
            return None
        if self._path(node.bases[0]) not in _NAMED_TUPLES or node.decorator_list:
            return None
        body = [each for each in node.body if not _is_text(each)]
        fields = [self._field(each) for each in body]
        known = [each for each in fields if each is not None]
        if not known or len(known) != len(fields):
            return None
        names: list[ast.expr] = [ast.Constant(each.name) for each in known]
        defaults = [each.default for each in known if each.default is not None]
        call = ast.Call(
            ast.Name(MAKER, ast.Load()),
            [ast.Constant(node.name), ast.List(names, ast.Load())],
            [ast.keyword("defaults", ast.List(list(defaults), ast.Load()))],
        )
        made = ast.Assign([ast.Name(node.name, ast.Store())], call)
        return ast.fix_missing_locations(ast.copy_location(made, node))

    def typed_dict(self, node: ast.stmt) -> ast.stmt | None:
        """`Name = dict` for a class of keys on TypedDict, or None."""
        if not isinstance(node, ast.ClassDef):
            return None
        plain = not node.decorator_list and all(map(_is_said, node.body))
        known = bool(node.bases) and all(map(self._is_typed_dict, node.bases))
        if not (plain and known and all(x.arg == "total" for x in node.keywords)):
            self._dicts.discard(node.name)
            return None
        self._dicts.add(node.name)
        kind = ast.Name("dict", ast.Load())
        made = ast.Assign([ast.Name(node.name, ast.Store())], kind)
        return ast.fix_missing_locations(ast.copy_location(made, node))

    def _is_typed_dict(self, base: ast.expr) -> bool:
        named = isinstance(base, ast.Name) and base.id in self._dicts
        return named or self._path(base) in _TYPED_DICTS

    def _makes(self, decorator: ast.expr) -> bool:
        called = decorator.func if isinstance(decorator, ast.Call) else decorator
        return self._path(called) == _DATACLASS

    def _inherited(self, node: ast.ClassDef) -> Iterator[_Field]:
        for base in node.bases:
            if isinstance(base, ast.Name):
                yield from self._fields.get(base.id, [])

    def _field(self, statement: ast.stmt) -> _Field | None:
        """`name: type = value`, `= field(...)`, or nothing behind it."""
        if not isinstance(statement, ast.AnnAssign):
            return None
        hint = statement.annotation
        hint = hint.value if isinstance(hint, ast.Subscript) else hint
        target = statement.target
        if not isinstance(target, ast.Name) or self._path(hint) == "typing.ClassVar":
            return None
        value = statement.value
        if not isinstance(value, ast.Call) or self._path(value.func) != _FIELD:
            return _Field(target.id, value)
        options = {each.arg: each.value for each in value.keywords}
        asked = options.get("init")
        given = not (isinstance(asked, ast.Constant) and asked.value is False)
        found = options.get("default"), options.get("default_factory")
        return _Field(target.id, *found, given)


def _is_said(node: ast.stmt) -> bool:
    """Whether it says what a value is, or what a class is for, and does nothing."""
    if isinstance(node, ast.AnnAssign):
        return node.value is None
    says = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    return says or isinstance(node, ast.Pass)


def _maker_import(at: ast.stmt) -> ast.stmt:
    """The import of what makes named tuples, under a name that nobody writes."""
    made = ast.ImportFrom("collections", [ast.alias("namedtuple", MAKER)], 0)
    return ast.fix_missing_locations(ast.copy_location(made, at))


def _is_text(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


def _init_of(fields: list[_Field], after: bool, node: ast.ClassDef) -> ast.stmt:
    """`def __init__(self, a, b=1)` that keeps each of them on self.

    Fields without a default stand first, as they must in a dataclass too.
    """
    given = [each for each in fields if each.given]
    bare = [each for each in given if each.default is None and each.factory is None]
    rest = [each for each in given if each not in bare]
    arguments = ast.arguments(
        posonlyargs=[],
        args=[ast.arg(name) for name in ("self", *(e.name for e in bare + rest))],
        kwonlyargs=[],
        kw_defaults=[],
        defaults=[each.default or ast.Constant(None) for each in rest],
    )
    body = [
        _kept(each) for each in fields if each.given or each.default or each.factory
    ]
    if after:
        call = ast.Call(_of_self(_AFTER, ast.Load()), [], [])
        body.append(ast.Expr(call))
    made = ast.FunctionDef("__init__", arguments, body or [ast.Pass()], [])
    made.type_params = []  # type: ignore[attr-defined]  # Python 3.12 asks for it
    return ast.fix_missing_locations(ast.copy_location(made, node))


def _kept(each: _Field) -> ast.stmt:
    value: ast.expr = ast.Name(each.name, ast.Load())
    if each.factory is not None:
        fresh = ast.Call(each.factory, [], [])
        asked = ast.Name(each.name, ast.Load())
        is_none = ast.Compare(asked, [ast.Is()], [ast.Constant(None)])
        value = ast.IfExp(is_none, fresh, value) if each.given else fresh
    elif not each.given and each.default is not None:
        value = each.default
    return ast.Assign([_of_self(each.name, ast.Store())], value)


def _of_self(name: str, context: ast.expr_context) -> ast.Attribute:
    return ast.Attribute(ast.Name("self", ast.Load()), name, context)
