"""What a text says as Python: whether it is an optimizer, whole, and what it lacks."""

import ast
import builtins
import keyword
import re
import symtable
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property

from dux_sandbox.findings import Finding
from dux_sandbox.language.before_parsing import limits_passed
from dux_sandbox.language.quiet_parsing import quiet_parser

_STOCK = frozenset(
    "ASGD Adadelta Adafactor Adagrad Adam AdamW Adamax LBFGS Muon NAdam RAdam RMSprop"
    " Rprop SGD SparseAdam".split()
)
_RULE_BY_SIGHT = re.compile(
    r"^class[ \t]+\w+[ \t]*\([^()\n]*\b(?:Optimizer|optim\.\w+)\b", re.MULTILINE
)
_CLASS_BY_SIGHT = re.compile(r"^class[ \t]+\w+", re.MULTILINE)
_WORD = re.compile(r"[^\W\d]\w*")
_PROMPT = re.compile(r"(?:>>>|\.\.\.)(?: |$)")
_MAGIC = re.compile(r"^[ \t]*(?:!|%{1,2}(?=[a-zA-Z]))")
_TEST = re.compile(r"^_?Test|Tests?$|TestCase$")
_BUILTINS = frozenset(dir(builtins))
Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


class Holds(IntEnum):
    """How near a text is to the source of an optimizer."""

    NO_CLASS = 0
    A_CLASS = 1
    A_STEP = 2
    AN_OPTIMIZER = 3


@dataclass(frozen=True)
class Written:
    """A text that may be the source of an optimizer.

    Attributes:
        text: as it stands in the reply.
        closed: the fence round it is closed, or it needs none.
        python: it is said to be Python, or not said to be anything else.
    """

    text: str
    closed: bool = True
    python: bool = True

    @cached_property
    def _read(self) -> tuple[ast.Module | None, SyntaxError | None]:
        return _parse(self.text)

    @property
    def tree(self) -> ast.Module | None:
        """Its syntax tree; None where it has none, or is too large to look at."""
        return self._read[0]

    @property
    def cut(self) -> bool:
        """It ends before it is over: the reply was cut off in it.

        Only a text whose fence is open can be: in another one it is a fault of syntax.
        """
        if self.closed:
            return False
        tree, error = self._read
        if tree is None:
            return error is not None and _is_at_the_end(error, self.text)
        last = tree.body[-1] if tree.body else None
        if not isinstance(last, ast.ClassDef):
            return self.holds() is Holds.NO_CLASS
        methods = [each.name for each in last.body if isinstance(each, Definition)]
        inherits = any(_last_name(base) in _STOCK for base in last.bases)
        return bool(methods) and "step" not in methods and not inherits

    def holds(self, rules: frozenset[str] = frozenset()) -> Holds:
        """What is defined here.

        Args:
            rules: names of optimizer classes in other blocks.
        """
        if self.tree is None:
            if _RULE_BY_SIGHT.search(self.text):
                return Holds.AN_OPTIMIZER
            found = _CLASS_BY_SIGHT.search(self.text)
            return Holds.A_CLASS if found else Holds.NO_CLASS
        classes = (node for node in self.tree.body if isinstance(node, ast.ClassDef))
        return max((_kind(node, rules) for node in classes), default=Holds.NO_CLASS)

    def rules(self) -> frozenset[str]:
        """Names of the optimizer classes that are defined here."""
        body = [] if self.tree is None else self.tree.body
        return frozenset(
            node.name
            for node in body
            if isinstance(node, ast.ClassDef)
            and _kind(node, frozenset()) is Holds.AN_OPTIMIZER
        )

    def statements(self) -> Iterator[tuple[frozenset[str], str]]:
        """Each statement that defines names: the names, and its lines."""
        if self.tree is None:
            return
        lines = self.text.split("\n")
        for node in self.tree.body:
            names = _bound(node)
            if names:
                first = min([node.lineno, *(each.lineno for each in _decorators(node))])
                yield names, "\n".join(lines[first - 1 : node.end_lineno])


def needed(text: str) -> frozenset[str]:
    """The global names that a source uses and does not define.

    Empty for a text that is no Python.
    """
    try:
        with quiet_parser():
            top = symtable.symtable(text, "<reply>", "exec")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return frozenset()
    used: set[str] = set()
    made: set[str] = set()
    left = [top]
    while left:
        table = left.pop()
        for symbol in table.get_symbols():
            name = symbol.get_name()
            bound = symbol.is_assigned() or symbol.is_imported()
            if bound and (table is top or symbol.is_declared_global()):
                made.add(name)
            elif symbol.is_referenced() and (table is top or symbol.is_global()):
                used.add(name)
        left += table.get_children()
    return frozenset(used - made - _BUILTINS)


def plain(text: str) -> str:
    """A session as a file: without prompts, outputs and the magics of a notebook."""
    lines = text.split("\n")
    first = next((line for line in lines if line.strip()), "")
    if first.startswith(">>>"):
        lines = [line[4:] for line in lines if _PROMPT.match(line)]
        return "\n".join(lines) + "\n"
    if _parse(text)[0] is None and any(_MAGIC.match(line) for line in lines):
        fewer = "\n".join(line for line in lines if not _MAGIC.match(line))
        return fewer if _parse(fewer)[0] is not None else text
    return text


def without_prose_behind(text: str) -> str:
    """The text up to a line of prose or markup that follows the code in it."""
    error = _parse(text)[1]
    if error is None or error.lineno is None:
        return text
    lines = text.split("\n")
    # The parser may stumble a line late: over what the prose began.
    for number in range(min(error.lineno, len(lines)) - 1, 0, -1):
        if lines[number].strip():
            break
    else:
        return text
    while number > 1 and _is_prose(lines[number - 1]):
        number -= 1
    return "\n".join(lines[:number]) + "\n" if _is_prose(lines[number]) else text


def _is_prose(line: str) -> bool:
    """Whether a line that stands at the margin is none of Python's."""
    if not line.strip() or line[0] in " \t#@":
        return False
    word = _WORD.match(line)
    if word is not None and word[0] in keyword.kwlist:
        return False  # a statement that goes on, or was cut off
    return _parse(line)[1] is not None


def _parse(text: str) -> tuple[ast.Module | None, SyntaxError | None]:
    """The tree of a text, or what its syntax lacks; neither where it is too large."""
    try:
        with quiet_parser():
            passed = limits_passed(text)
            if passed is not None:
                return None, _as_error(passed)
            return ast.parse(text, "<reply>", feature_version=(3, 11)), None
    except SyntaxError as error:
        return None, error
    # What Python's parser itself cannot bear is left to the static check to say.
    except (ValueError, RecursionError, MemoryError):
        return None, None


def _as_error(passed: Finding) -> SyntaxError | None:
    """The fault of syntax that a limit stands for, if it is one."""
    if passed.rule != "syntax":
        return None
    error = SyntaxError(passed.message)
    error.lineno = passed.line
    return error


def _is_at_the_end(error: SyntaxError, text: str) -> bool:
    said = str(error.msg)
    if "never closed" in said or "unterminated triple" in said:
        return True
    last = len(text.rstrip().split("\n"))
    return error.lineno is None or error.lineno >= last


def _kind(node: ast.ClassDef, rules: frozenset[str]) -> Holds:
    methods = [each.name for each in node.body if isinstance(each, Definition)]
    for base in node.bases:
        name = _last_name(base)
        if name in _STOCK or (name in rules and not _TEST.search(node.name)):
            return Holds.AN_OPTIMIZER
        if name.endswith("Optimizer"):
            # Without a method it only stands for a class that is written elsewhere.
            return Holds.AN_OPTIMIZER if methods else Holds.A_STEP
    return Holds.A_STEP if "step" in methods else Holds.A_CLASS


def _last_name(base: ast.expr) -> str:
    if isinstance(base, ast.Attribute):
        return base.attr
    return base.id if isinstance(base, ast.Name) else ""


def _decorators(node: ast.stmt) -> list[ast.expr]:
    return node.decorator_list if isinstance(node, Definition) else []


def _bound(node: ast.stmt) -> frozenset[str]:
    """The names that a statement at the top level defines."""
    if isinstance(node, ast.Import):
        tops = ((each.asname, each.name.partition(".")[0]) for each in node.names)
        return frozenset(asname or top for asname, top in tops)
    if isinstance(node, ast.ImportFrom):
        if node.module == "__future__":
            return frozenset()
        return frozenset(alias.asname or alias.name for alias in node.names)
    if isinstance(node, Definition):
        return frozenset([node.name])
    if isinstance(node, ast.Assign):
        targets: list[ast.expr] = list(node.targets)
    elif isinstance(node, ast.AnnAssign) and node.value is not None:
        targets = [node.target]
    else:
        return frozenset()
    return frozenset(
        each.id
        for target in targets
        for each in (target.elts if isinstance(target, ast.Tuple) else [target])
        if isinstance(each, ast.Name)
    )
