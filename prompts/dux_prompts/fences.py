"""How a fence is written: its mark, the language that it names, and code beside it."""

import re
from dataclasses import dataclass

_OPENS = re.compile(
    r"(?P<quote>(?:[ \t]*>)*)[ \t]*(?:(?:[-*+]|\d{1,4}[.)])[ \t]+)?"
    r"(?P<mark>`{3,}|~{3,})(?P<info>.*)"
)
_QUOTE = re.compile(r"[ \t]*(?:> ?)+")
_RUN = re.compile(r"`{3,}|~{3,}")
_BEFORE_THE_WORD = re.compile(
    r"[\s{.#]*(?:(?:code-cell|code-block|code)\b[\s}:]*)?(?:lang(?:uage)?[-=:])?"
    r"[\s{.\"']*"
)
_WORD = re.compile(r"[\w.+#/-]*")
_PYTHON = re.compile(
    r"(?:[ij]?python|py|pycon|pyi|pytorch|torch|cython|sage|jupyter)[\d.]*|.*\.pyi?"
    r"|python-\w+|jupyter-python"
)
_OTHERS = frozenset(
    "bash bat c c++ cfg console cpp cs css csv cuda diff dockerfile fortran go html ini"
    " java javascript jinja js json julia latex log lua make makefile markdown math md"
    " mermaid none output patch plain plaintext powershell r rb rs ruby rust scala"
    " sh shell shell-session sql stderr stdout svg swift tex text toml traceback triton"
    " ts tsv txt typescript xml yaml yml zsh".split()
)
_CODE = re.compile(
    r"import[ ]\w|from[ ][\w.]+[ ]import[ ]|class[ ]\w+\s*[(:]|def[ ]\w+\(|@\w+[.(]"
)


@dataclass(frozen=True)
class Fence:
    """The opening of a block.

    Attributes:
        mark: the backticks or tildes.
        info: what stands behind them, without code.
        code: a first line of code that stands behind them, "" for none.
        quoted: the block is quoted, as in a mail: each of its lines begins with ">".
        before: the words before it on its line.
    """

    mark: str
    info: str
    code: str = ""
    quoted: bool = False
    before: str = ""


def language_of(info: str) -> str:
    """The language that an info string names, "python" for each name of Python's.

    >>> language_of('{.py3 title="rule.py"}'), language_of("pytorch"), language_of("")
    ('python', 'python', '')
    >>> language_of("python:optimizers/rule.py"), language_of("Rust,ignore")
    ('python', 'rust')
    """
    start = _BEFORE_THE_WORD.match(info)
    word = _WORD.match(info, start.end() if start else 0)
    name = word[0].lower().rstrip(".") if word else ""
    return "python" if _PYTHON.fullmatch(name) else name


def is_info(text: str) -> bool:
    """Whether the words behind a mark say what begins there, and are no prose."""
    name = language_of(text)
    if name != "python" and name not in _OTHERS:
        return False
    return len(text.split()) <= 2 or any(sign in text for sign in "={:,")


def opening(line: str) -> Fence | None:
    """The fence that a line of prose opens, at its beginning or behind words.

    Marks that come in pairs, as round a few words, open nothing.
    """
    marks = _RUN.findall(line)
    if not marks:
        return None
    found = _OPENS.match(line)
    if found is not None and found["mark"][0] not in found["info"]:
        info, code = _apart(found["info"])
        return Fence(found["mark"], info, code, ">" in found["quote"])
    if len(marks) != 1:
        return None
    before, _, behind = line.partition(marks[0])
    info, code = _apart(behind)
    if before.endswith(("`", "~")) or not (not info.strip() or is_info(info)):
        return None
    return Fence(marks[0], info, code, before=before)


def closing(line: str, mark: str) -> tuple[str, str] | None:
    """What a line says before and behind the mark that closes a block, if one does.

    A mark closes at the beginning of a line, and at its end where it has no partner.
    """
    bare = line.lstrip()
    found = _RUN.match(bare)
    if found is not None:
        return None if not found[0].startswith(mark) else ("", bare[found.end() :])
    if not line.rstrip().endswith(mark):
        return None
    runs = [run for run in _RUN.findall(line) if run[0] == mark[0]]
    if len(runs) % 2 == 0 or not runs[-1].startswith(mark):
        return None
    return line.rstrip()[: -len(runs[-1])], ""


def without_quote(line: str) -> str:
    """The line without the ">" of a quotation."""
    found = _QUOTE.match(line)
    return line if found is None else line[found.end() :]


def _apart(info: str) -> tuple[str, str]:
    """An info string, and the code that somebody wrote on its line."""
    found = _CODE.search(info)
    if found is None:
        return info, ""
    before = info[: found.start()]
    if before.strip() and language_of(before) != "python":
        return info, ""
    return before, info[found.start() :]
