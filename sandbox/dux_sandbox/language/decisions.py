"""Every kind of syntax-tree node, decided on purpose.

A node that is in none of the three tables is refused: a new Python cannot open a hole.
`tests/language/test_policy.py` lists the nodes of each supported Python against these
tables.
"""

# Taken as they are; their parts are judged one by one.
PLAIN = frozenset(
    """
    Add And Assert BitAnd BitOr BitXor BoolOp Break Continue Del Delete Div Eq Expr
    FloorDiv Gt GtE IfExp In Invert Is IsNot LShift List Load Lt LtE MatMult Match
    MatchAs MatchMapping MatchOr MatchSequence MatchSingleton MatchStar Mod Mult
    NamedExpr Nonlocal Not NotEq NotIn Or Pass Pow RShift Return Slice Starred
    Store Sub Tuple UAdd USub UnaryOp alias arg arguments keyword match_case withitem
    """.split()
)

# Taken, but turned into a guarded form or checked more closely first.
GUARDED = frozenset(
    """
    AnnAssign Assign Attribute AugAssign BinOp Call ClassDef Compare Constant Dict
    DictComp ExceptHandler For FormattedValue FunctionDef GeneratorExp Global If
    Import ImportFrom JoinedStr Lambda ListComp MatchValue Module Name Raise Set SetComp
    Subscript Try While With Yield YieldFrom comprehension
    """.split()
)

# Refused, with what to write instead.
REFUSED: dict[str, tuple[str, str]] = {
    "AsyncFor": ("async for", "use a plain for loop"),
    "AsyncFunctionDef": ("async def", "use a plain def"),
    "AsyncWith": ("async with", "use a plain with"),
    "Await": ("await", "call the function plainly"),
    "MatchClass": ("a class pattern in match", "use isinstance(x, torch.Tensor)"),
    "TryStar": ("except*", "use except Exception:"),
    "TypeAlias": ("a type statement", "leave it out; annotations are not needed"),
    "TypeVar": ("a type parameter", "leave it out; annotations are not needed"),
    "TypeVarTuple": ("a type parameter", "leave it out; annotations are not needed"),
    "ParamSpec": ("a type parameter", "leave it out; annotations are not needed"),
    "TemplateStr": ("a template string", "use an f-string"),
    "Interpolation": ("a template string", "use an f-string"),
    "Expression": ("an expression on its own", "write a class"),
    "Interactive": ("an interactive line", "write a class"),
    "FunctionType": ("a type comment", "leave it out"),
    "TypeIgnore": ("a type comment", "leave it out"),
}
