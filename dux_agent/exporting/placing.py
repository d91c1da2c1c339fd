"""A source as a part of another file: what only its own file may hold is taken out."""

import ast
import io
import tokenize

from dux_sandbox.language.policy import without_main

FUTURE = "from __future__ import annotations\n"


def without_future(source: str) -> tuple[str, bool]:
    """The source without `from __future__` lines, and whether there were any.

    They would have to stand first in the file.

    >>> without_future("from __future__ import annotations; import torch\\n")
    ('pass; import torch\\n', True)
    """
    nodes = [
        node
        for node in ast.parse(source).body
        if isinstance(node, ast.ImportFrom) and node.module == "__future__"
    ]
    return _replaced(source, [(node, "pass") for node in nodes]), bool(nodes)


def without_script(source: str) -> str:
    r"""The source without what it does as a script, as the live run had it.

    The static check does not judge `if __name__ == "__main__":` blocks, since they
    are dropped before the source runs; a module that is exported must not have them.

    >>> without_script('a = 1\nif __name__ == "__main__":\n    b = 2\n')
    'a = 1\npass\n'
    """
    dropped = []
    for node in ast.parse(source).body:
        alone = ast.Module([node], [])
        without_main(alone)
        if alone.body != [node]:
            dropped.append((node, ast.unparse(alone) or "pass"))
    return _replaced(source, dropped)


def with_name(source: str, old: str, new: str) -> str:
    r"""The source with another name for something; texts stay as they are.

    >>> with_name("class A:\n    'A.'\nB = A()\n", "A", "C")
    "class C:\n    'A.'\nB = C()\n"
    """
    lines = source.split("\n")
    found = [
        token.start
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.NAME and token.string == old
    ]
    for line, column in reversed(found):
        text = lines[line - 1]
        lines[line - 1] = text[:column] + new + text[column + len(old) :]
    return "\n".join(lines)


def _replaced(source: str, nodes: list[tuple[ast.stmt, str]]) -> str:
    # The parser counts bytes of UTF-8 from the beginning of a line.
    lines = source.encode("utf-8").split(b"\n")
    for node, instead in reversed(nodes):
        first, last = node.lineno - 1, (node.end_lineno or node.lineno) - 1
        rest = lines[last][node.end_col_offset or 0 :]
        begin = lines[first][: node.col_offset]
        lines[first : last + 1] = [begin + instead.encode("utf-8") + rest]
    return b"\n".join(lines).decode("utf-8")


def indented(source: str) -> str:
    r"""The source one block deeper; texts over several lines stay as they are.

    >>> indented("a = 1\nb = '''x\n  y'''\n")
    "    a = 1\n    b = '''x\n  y'''\n"
    """
    inside: set[int] = set()
    begun: list[int] = []
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        name = tokenize.tok_name[token.type]
        if name == "STRING":
            inside.update(range(token.start[0] + 1, token.end[0] + 1))
        elif name == "FSTRING_START":
            begun.append(token.start[0])
        elif name == "FSTRING_END":
            inside.update(range(begun.pop() + 1, token.end[0] + 1))
    placed = [
        line if at in inside or not line.strip() else f"    {line}"
        for at, line in enumerate(source.split("\n"), start=1)
    ]
    return "\n".join(placed)
