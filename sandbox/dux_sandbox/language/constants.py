"""What can be known of an expression without running it: its size, its format."""

import ast
import math
import re
import string
from collections.abc import Callable

from dux_sandbox.language import vocabulary

_SIMPLE_FIELD = re.compile(r"(?:[A-Za-z]\w*|\d*)\Z")
_NUMBER = re.compile(r"\d+")

# Constructors whose integer arguments multiply to the number of elements.
SIZED = frozenset(
    """torch.zeros torch.ones torch.empty torch.rand torch.randn torch.full torch.eye
    torch.arange torch.randperm torch.linspace torch.nn.functional.one_hot""".split()
)
SIZED_METHODS = frozenset("expand new_zeros new_ones new_empty new_full repeat".split())


class Arithmetic:
    """What the arithmetic of one source comes to; each expression is computed once.

    Asked for an expression before its parts are rewritten, and for its parts later, it
    remembers: work stays linear in the number of nodes.
    """

    def __init__(self) -> None:
        # By id, beside the node itself: as long as it is held, no other has its id.
        self._numbers: dict[int, tuple[ast.AST, int | float | None]] = {}

    def number(self, node: ast.AST) -> int | float | None:
        """The value of arithmetic on number literals, or None where it is not that.

        Stops short of anything larger than `INTEGER_BITS`: that gives infinity.
        """
        if isinstance(node, ast.Constant):
            value = node.value
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                return None
            return value
        if not isinstance(node, (ast.UnaryOp, ast.BinOp)):
            return None
        known = self._numbers.get(id(node))
        if known is None:
            known = self._numbers[id(node)] = (node, self._computed(node))
        return known[1]

    def _computed(self, node: ast.UnaryOp | ast.BinOp) -> int | float | None:
        if isinstance(node, ast.UnaryOp):
            if not isinstance(node.op, ast.USub):
                return None
            inner = self.number(node.operand)
            return None if inner is None else -inner
        left, right = self.number(node.left), self.number(node.right)
        if left is None or right is None:
            return None
        try:
            return _within_bits(_compute(node.op, left, right))
        except (ArithmeticError, ValueError, TypeError):
            return None

    def too_large(self, node: ast.BinOp) -> str | None:
        """Why this arithmetic on literals is too large, or None."""
        value = self.number(node)
        if isinstance(value, float) and math.isinf(value):
            return f"an integer of more than {vocabulary.INTEGER_BITS} bits"
        if isinstance(node.op, ast.Mult):
            for items, times in ((node.left, node.right), (node.right, node.left)):
                count, size = self.number(times), _items(items)
                if count is None or size is None:
                    continue
                if size and size * count > vocabulary.ITEMS:
                    return f"a repetition to {size * count:.0f} items"
        return None

    def elements(self, node: ast.Call) -> float:
        """How many elements the literal arguments of a sized constructor ask for."""
        total = 1.0
        for argument in node.args:
            many = isinstance(argument, (ast.Tuple, ast.List))
            for part in argument.elts if many else [argument]:  # type: ignore[attr-defined]
                value = self.number(part)
                if value is not None:
                    total *= max(1.0, abs(float(value)))
        return total


def _compute(op: ast.operator, left: float, right: float) -> int | float | None:
    limit = vocabulary.INTEGER_BITS
    if isinstance(op, (ast.Pow, ast.LShift)):
        if not (type(left) is int and type(right) is int):
            return None
        if isinstance(op, ast.LShift):
            return left << right if right <= limit else math.inf
        if right > limit or abs(left).bit_length() * max(right, 0) > limit:
            return math.inf
        return int(left**right) if right >= 0 else None
    actions: dict[type[ast.operator], Callable[[float, float], float]] = {
        ast.Add: lambda a, b: a + b,
        ast.Sub: lambda a, b: a - b,
        ast.Mult: lambda a, b: a * b,
        ast.FloorDiv: lambda a, b: a // b,
    }
    action = actions.get(type(op))
    return None if action is None else action(left, right)


def _within_bits(value: int | float | None) -> int | float | None:
    large = isinstance(value, int) and value.bit_length() > vocabulary.INTEGER_BITS
    return math.inf if large else value


def _items(node: ast.AST) -> int | None:
    """How many items a literal list, tuple or string has, or None."""
    if isinstance(node, (ast.List, ast.Tuple)):
        return len(node.elts)
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return len(node.value)
    return None


def wide(spec: str) -> bool:
    """Whether a format asks for a width or precision beyond the cap."""
    return any(
        len(digits) > 4 or int(digits) > vocabulary.FORMAT_WIDTH
        for digits in _NUMBER.findall(spec)
    )


def bad_format(text: str) -> str | None:
    """Why `text` may not be used with `.format(...)`, or None."""
    try:
        fields = list(string.Formatter().parse(text))
    except ValueError as error:
        return f"a malformed format: {error}"
    for _, name, spec, _ in fields:
        if name is not None and _SIMPLE_FIELD.match(name) is None:
            return f"a format field {name!r} that reaches into its value"
        if spec and ("{" in spec or wide(spec)):
            return f"a format width over {vocabulary.FORMAT_WIDTH}"
    return None
