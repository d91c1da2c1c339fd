"""Sources made by a grammar that are dear to parse, to judge or to compile.

Each of `FAMILIES` makes a source of about so many bytes from one idea; `drawn` makes
one from a grammar, at random. They hold a rule at their end, so that the check goes
through to the compiler where nothing stops it before.
"""

import itertools
import random
import string

from dux_sandbox.language import vocabulary

HEAD = "import torch\nx = y = a = b = c = d = f = A = 0\n"
TAIL = "\nclass Rule(torch.optim.SGD): 0\n"
NAMES = [
    "".join(letters)
    for letters in itertools.product(*[string.ascii_letters] * 2, string.digits)
]


def repeated(piece, size, head="", tail="", glue="\n"):
    """`piece` (or what it gives for 0, 1, 2 ...) as often as `size` and lines allow."""
    parts, left = [], size - len(HEAD + head + tail + TAIL)
    lines = vocabulary.SOURCE_LINES - (HEAD + head + tail + TAIL).count("\n") - 1
    for turn in itertools.count():
        part = (piece if isinstance(piece, str) else piece(turn)) + glue
        left, lines = left - len(part.encode()), lines - part.count("\n")
        if left < 0 or lines < 0:
            break
        parts.append(part)
    return HEAD + head + "".join(parts) + tail + TAIL


def nested(openers, inner):
    """Blocks inside one another: `openers` are their first lines, in turn."""
    lines = [" " * depth + opener for depth, opener in enumerate(openers)]
    return "\n".join([*lines, " " * len(openers) + inner])


def finally_in_finally(depth):
    lines = []
    for at in range(depth):
        lines += [" " * at + "try: a()", " " * at + "finally:"]
    return "\n".join([*lines, " " * depth + "b()"])


def scopes(size, head, child):
    """Many names in one scope, and many scopes in it."""
    names = "=".join(NAMES[: size // 12])
    return repeated(child, size, f"{head}\n {names}=0\n", glue="\n").replace(
        "\n" + child, "\n " + child
    )


def joined(items, glue=",", of=None):
    return glue.join(itertools.islice(itertools.cycle(items), of or len(items)))


_CLASSES = {
    "a class on each class before": lambda turn: (
        f"class {NAMES[turn + 1]}({NAMES[turn]}): 0"
    ),
    "a class on hundreds of others": lambda turn: (
        f"class {NAMES[turn + 1]}({','.join(NAMES[max(0, turn - 300) : turn + 1])}): 0"
    ),
    "small functions": lambda turn: f"def {NAMES[turn]}(): 0",
    "imports": lambda turn: f"import torch as {NAMES[turn]}",
    "long names": lambda turn: "a" * 600 + f"{turn} = 1",
}
_PIECES = {
    "products of powers": "x=" + "*".join(["9**99"] * 80),
    "products of large powers": "x=" + "*".join(["2**4090"] * 80),
    "sums": "x=" + "+".join(["1"] * 85),
    "modulos": "x=" + "%".join(["y"] * 85),
    "powers": "x=" + "**".join(["a"] * 85),
    "text times a number": "x=" + "*".join(["'a'", *["9"] * 80]),
    "signs": "-x;" * 300 + "x",
    "attributes in a row": "x" + ".a" * 80,
    "attributes of torch in a row": "torch" + ".a" * 80,
    "attributes and calls": "x" + ".a()" * 28,
    "attributes of attributes": "x=[" + ",".join(["x" + ".a" * 25] * 30) + "]",
    "one while in another": nested(["while x:"] * 80, "x"),
    "one loop in another": nested(["while x:", "for x in y:"] * 9, "x;break"),
    "one function in another": nested(["def f():"] * 85, "x"),
    "one class in another": nested(["class A:", "if x:"] * 42, "x=x"),
    "one with in another": nested(["def f():", *["with x:"] * 14], "return 1"),
    "finally in finally": "def f():\n " + finally_in_finally(12).replace("\n", "\n "),
    "items of items": "x" + "[0]" * 85,
    "items in items": "x[" * 39 + "0" + "]" * 39,
    "hints": "x:" + "List[" * 39 + "int" + "]" * 39,
    "comparisons": "x=" + "<".join(["a"] * 900),
    "and": "x=" + " and ".join(["a"] * 900),
    "and in or": "x=" + "(a and b or " * 38 + "c" + ")" * 38,
    "conditions": "x=" + "a if b else " * 80 + "c",
    "lists": "x=[" + joined("a", of=950) + "]",
    "empty lists": "x=[" + "[]," * 600 + "]",
    "constants": "x=(" + joined("1", of=950) + ")",
    "tuples of tuples": "x=" + "(" * 39 + "1" + ",)" * 39,
    "lists of lists of constants": "x=" + "(1,(2,3)," * 30 + "1" + ")" * 30,
    "stars": "x=[" + joined(["*a"], of=600) + "]",
    "targets": "x=" * 900 + "0",
    "targets in targets": "(" * 38 + "a" + ",b)" * 38 + "=x",
    "writes by guard": "x[a()].b+=c()",
    "comprehensions in comprehensions": "x=" + "[" * 14 + "x" + " for x in y]" * 14,
    "too many comprehensions": "x=" + "[" * 38 + "x" + " for x in y]" * 38,
    "one comprehension of many parts": "[x" + " for x in y if x" * 60 + "]",
    "lambdas": "x=" + "lambda:" * 19 + "0",
    "bound on the way": "x=[" + joined(["(a:=1)"], of=300) + "]",
    "keywords": "f(" + ",".join(f"{name}=1" for name in NAMES[:900]) + ")",
    "arguments": "def f(" + ",".join(NAMES[:900]) + "): 0",
    "hinted arguments": "def f(" + ",".join(f"{n}:int" for n in NAMES[:600]) + "): 0",
    "f-strings": "x=f'" + "{a}{b}" * 150 + "'",
    "f-strings side by side": "x=(" + "f'{a}' " * 300 + ")",
    "f-strings in f-strings": "x=" + "f'{a:{b}}'" * 100,
    "texts side by side": "x=(" + "'a' " * 900 + ")",
    "decorators": "@x\n" * 8 + "def f(): 0",
    "handlers": "try: 0\n" + "except A: 0\n" * 80,
    "try in try": nested(["try:"] * 8, "x\n")
    + "\n".join(" " * at + "except A: 0" for at in range(7, -1, -1)),
    "dicts": "x={" + joined(["a:b"], of=450) + "}",
    "deletions": "del " + joined("x", of=900),
    "patterns of many names": f"match x:\n case [{','.join(NAMES[:900])}]: 0",
    "patterns in turn": (
        f"match x:\n case [{','.join(NAMES[:480])}]|[{','.join(NAMES[479::-1])}]: 0"
    ),
    "patterns of numbers": "match x:\n case " + "|".join(map(str, range(900))) + ": 0",
    "patterns in patterns": "match x:\n case " + "[" * 20 + "1|2" + "]" * 20 + ": 0",
    "sets that are no sets": "x=" + "{" * 39 + "a b" + "}" * 39,
    "groups that are no groups": "x=" + "(" * 39 + "a b" + ")" * 39,
    "dicts that are no dicts": "x=" + "{1:" * 39 + "a b" + "}" * 39,
    "calls that are no calls": "x=" + "f(a=" * 39 + "a b" + ")" * 39,
    "conditions that are none": "x=" + "(a if b else " * 38 + "a b" + ")" * 38,
    "with that is none": nested(["with (a as b, (c) as d):"] * 60, "a b"),
    "for that is none": nested(["for (a,(b,c)) in x:"] * 60, "a b"),
    "match that is none": nested(["match x:", "case 1:"] * 40, "a b"),
}
FAMILIES = {
    **{
        name: lambda size, piece=piece: repeated(piece, size, f"class {NAMES[0]}: 0\n")
        for name, piece in _CLASSES.items()
    },
    **{
        name: lambda size, piece=piece: repeated(piece, size)
        for name, piece in _PIECES.items()
    },
    "returns through a finally": lambda size: repeated(
        "  if x: return 1",
        size // 2,
        "def f():\n try:\n",
        repeated("  x;x;x;x", size // 2, " finally:\n"),
    ).replace(TAIL + HEAD, "\n"),
    "a long loop in loops": lambda size: repeated(
        " " * 80 + "x;x;x;x;x;x", size, nested(["while x:"] * 80, "x") + "\n"
    ),
    "a long docstring": lambda size: repeated("a" * 60, size, '"""', '"""'),
    "a long f-string": lambda size: repeated("{a}" + "b" * 50, size, 'f"""', '"""'),
    "a function of many names and lambdas": lambda size: scopes(
        size, "def f():", "lambda: 0"
    ),
    "a class of many names and lambdas": lambda size: scopes(
        size, "class A:", "lambda: 0"
    ),
    "a constructor that wants much": lambda size: wanting(size, "self.{0} = {0}"),
    "a constructor that uses one thing much": lambda size: wanting(
        size, "argument0 * argument0"
    ),
    "an argument walked through much": lambda size: wanting(
        size, "zip(group['params'], {0}, {0}, {0})"
    ),
    "an argument compared much": lambda size: wanting(
        size, "argument0 == argument0 == {0}"
    ),
    "many options of a group": lambda size: wanting(size, "group['{0}'] + group['x']"),
    "a function of many names and comprehensions": lambda size: scopes(
        size, "def f():", "[0 for x in y]"
    ),
}


def wanting(size, use):
    """A rule whose methods want arguments without a default and use each of them."""
    names = [f"argument{at}" for at in range(size // (2 * len(use) + 24))]
    wanted = [", ".join(names), ", ".join(names[:20])]
    uses = "\n".join("  " + use.format(name) for name in names)
    methods = (
        f" def {method}(self, params, {listed}):\n{uses}\n"
        for method, listed in zip(["__init__", "step"], wanted, strict=True)
    )
    return f"import torch\nclass Rule(torch.optim.Optimizer):\n{''.join(methods)}"


def drawn(seed, size):
    """A source of about `size` bytes from a grammar; the same for the same seed."""
    return repeated(_Draw(random.Random(seed)).block(0), size)


_EXPRESSIONS = """
x y 1 2**9 'a' f'{X}' f'{X:.3f}' -X not_X (X) [X] [X,X] (X,) {X} {X:X} X+X X*X X**2
X%X X<X X<X<X X_and_X X_or_X X_if_X_else_X x.a x.a.b x.a(X) f(X) f(*X) f(**X) f(a=X)
x[X] x[X:X] x[X][X] [X_for_x_in_X] [X_for_x_in_X_if_X] {x:X_for_x_in_X} lambda:X
lambda_a:X (a:=X) torch.zeros(X) torch.add(X,X) x.sum(X) X@X X<<X ~X [*X] X//X X/X
""".split()
_STATEMENTS = """
x=X x=x=X x,y=X x+=X x[X]=X x.a=X x.a+=X x[X]+=X del_x assert_X X return_X pass
for_x_in_X:B while_X:B if_X:B if_X:B|else:B with_X:B try:B|except_A:B try:B|finally:B
try:B|except:B|else:B|finally:B def_f(a=X):B def_f(*a,**b):B class_A:B raise_A
for_x_in_X:B|else:B match_X:C
""".split()


class _Draw:
    """Draws with a bias: a few kinds for one source, so that they pile up."""

    def __init__(self, randomness):
        self._random = randomness
        self._expressions = randomness.choices(_EXPRESSIONS, k=4)
        self._statements = randomness.choices(_STATEMENTS, k=4)
        self._width = randomness.choice([1, 1, 2, 6])
        self._depth = randomness.choice([2, 5, 12, 30])
        self._left = randomness.choice([30, 300, 3000])  # expressions and statements

    def expression(self, depth):
        self._left -= 1
        if depth <= 0 or self._left < 0:
            return self._random.choice(["x", "1", "y.a", "1.5"])
        kind = self._random.choice(self._expressions).replace("_", " ")
        parts = kind.split("X")
        return parts[0] + "".join(self.expression(depth - 1) + p for p in parts[1:])

    def block(self, indent):
        lines = []
        for _ in range(self._width):
            lines += self._statement(indent)
        return "\n".join(lines)

    def _statement(self, indent):
        kind = self._random.choice(self._statements)
        self._left -= 1
        if indent >= self._depth or self._left < 0:
            kind = self._random.choice(["x=X", "X", "x.a=X"])
        space, made = " " * indent, []
        for clause in kind.split("|"):
            text = clause.removesuffix("B").removesuffix("C").replace("_", " ")
            head, _, rest = text.partition("X")
            while _:
                head += self.expression(self._random.randrange(20))
                more, _, rest = rest.partition("X")
                head += more
            made.append(space + head)
            if clause.endswith("B"):
                made.append(self.block(indent + 1))
            elif clause.endswith("C"):
                made += [f"{space} case 1|[x]:", self.block(indent + 2)]
        return made
