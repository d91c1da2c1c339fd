"""Before parsing: what Python parses within the limits passes, f-strings above all."""

import ast
import io
import random
import sys
import sysconfig
import tokenize
import warnings
from pathlib import Path

import pytest

from dux_sandbox.language import vocabulary
from dux_sandbox.language.before_parsing import limits_passed
from dux_sandbox.static_check import check
from tests.rule_sources import rule

NESTS = sys.version_info >= (3, 12)

# Expressions with an f-string whose text looks like code, or whose code like text.
FSTRINGS = {
    "apostrophe": """f"lr can't be {lr}" """,
    "quotes": """f'a "quoted" {lr}'""",
    "quotes doubled": """f"say \\"{lr}\\" twice" """,
    "three quotes": "f'''it's \"{lr}\"'''",
    "a quote at the end of three": "f'''{lr}\\''''",
    "braces doubled": 'f"{{{lr}}}"',
    "one brace doubled": 'f"{{" + f"}}"',
    "brackets": 'f"((((((( {lr} [[["',
    "many brackets": 'f"' + "(" * 50 + '{lr}"',
    "signs": 'f"' + "-" * 50 + '{lr}"',
    "a hash": 'f"# {lr} isn\'t a comment"',
    "format": 'f"{lr:.3f}: {lr:>10}"',
    "format with quotes": 'f"{lr:\'>10}"',
    "conversion": 'f"{lr!r:>8} {lr!s}"',
    "not equal": 'f"{lr != 1}"',
    "debug": 'f"{lr = } {lr=!r:>3}"',
    "dict": """f"{ {'a': 1}['a'] }" """,
    "slice": 'f"{[1, 2][0:1]}"',
    "lambda": 'f"{(lambda x: {1: x})(3)}"',
    "walrus in brackets": 'f"{(x:=5)}"',
    "colon and equals": 'f"{lr:=5}"',
    "strings inside": """f"{'it' "" 's'}" """.replace('"" ', ""),
    "nested": """f"{f'{lr}'} {f'''{lr}'''}" """,
    "name of a character": 'f"\\N{BULLET} can\'t {lr}"',
    "raw": 'rf"\\d{lr}\\{lr}"',
    "raw with quotes": "fr'\\'{lr}'",
    "escapes": 'f"\\t{lr}\\n\\\\"',
    "escaped brace": 'f"\\{lr}"',
    "side by side": """f"{lr}" 'it' "'s" f'{lr}"'""",
    "word before": """f"{lr}" if"{" in "{" else'}'""",
    "prefix that is a word": """1 if"can't" else 0""",
    "other prefixes": """rb'{' and u"}'" and b"'" and Rb"\\"" """,
    "lines": "f'''{\nlr\n} isn't\n{lr}'''",
    "line joined": "f'a\\\nb{lr}'",
    "line joined, carriage return": "f'a\\\r\nb{lr}' 'c\\\r\nd'",
    "empty": "f'' f\"\" ''",
}
NESTED = {
    "own quotes": "f'{d['a']}'",
    "f-string in its like": "f'{f'{f'{lr}'}'}'",
    "a comment": "f'''{\nlr # it's {\n}'''",
    "a new line": "f'{\nlr\n}'",
    "a backslash": "f'{\"\\n\".join([])}'",
    "unlike braces": "f'{\"}\"}' + f'{'{'}'",
}


@pytest.mark.parametrize("name", FSTRINGS)
def test_the_text_of_an_f_string_is_text(name):
    source = f"def f(lr, d):\n    return ({FSTRINGS[name].strip()})\n"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ast.parse(source)

    assert limits_passed(source) is None


@pytest.mark.skipif(not NESTS, reason="Python reads it as an error up to 3.11")
@pytest.mark.parametrize("name", NESTED)
def test_an_f_string_may_hold_its_own_quotes_where_python_lets_it(name):
    source = f"def f(lr, d):\n    return ({NESTED[name]})\n"
    ast.parse(source)

    assert limits_passed(source) is None


def test_a_rule_may_say_that_a_rate_cannot_be():
    source = rule(
        methods="def say(self, lr):\n"
        "    raise ValueError(f\"lr can't be {lr}, it's {{'negative'}}\")"
    )

    assert () == check(source).findings


@pytest.mark.parametrize(
    ("inside", "rule"),
    [
        ("(" * 50 + "1" + ")" * 50, "size"),
        ("-" * 30 + "1", "size"),
        ("[" + "1," * 2_100 + "]", "size"),
        ("f'{" + "(" * 45 + "1" + ")" * 45 + "}'", "size"),
        ("x:{" + "(" * 45 + "1" + ")" * 45 + "}", "size"),
        ("'{' + " + "(" * 45 + "1" + ")" * 45, "size"),
        ("'''", "syntax"),
        ("x", None),
    ],
)
@pytest.mark.parametrize("quotes", ['"', '"""'])
def test_the_code_in_an_f_string_is_counted(inside, rule, quotes):
    found = check(f"x = 1\ny = f{quotes}it's {{{{ {{{inside}}} }}}}{quotes}").findings

    kinds = {finding.rule for finding in found}
    assert rule in kinds if rule else not kinds & {"size", "syntax"}


@pytest.mark.parametrize("end", ["\r", "\n", "\r\n"])
def test_a_line_that_is_joined_is_no_new_statement(end):
    source = "x = 1" + ("+ 1" * 40 + f" \\{end}") * 60 + "+ 1"

    assert "size" == limits_passed(source).rule


@pytest.mark.parametrize(
    "malformed", ["f'{x!r}}'", "f'{'", "f'}'", "f'{x:{y'", "f'a\n"]
)
def test_what_follows_a_malformed_f_string_is_counted_or_refused(malformed):
    source = f"x = {malformed}\ny = " + "(" * 99 + "1" + ")" * 99

    [finding] = check(source).findings
    assert finding.rule in ("size", "syntax")


def parses(source):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            ast.parse(source)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return False
    return True


def standard_library(every=1):
    """Files of Python's own library within the limits on bytes and lines."""
    root = Path(sysconfig.get_paths()["stdlib"])
    for path in sorted(root.rglob("*.py"))[::every]:
        if "site-packages" not in path.parts and path.stat().st_size < 65_536:
            try:
                text = path.read_bytes().decode("utf-8")
            except UnicodeDecodeError:
                continue
            if text.count("\n") < vocabulary.SOURCE_LINES - 1 and parses(text):
                yield path.name, text


def refused(sources):
    """Those that Python parses and that are refused, but for their size."""
    for name, text in sources:
        found = limits_passed(text)
        if found is not None and found.rule != "size":
            yield name, found


def test_a_sample_of_the_standard_library_passes():
    sample = list(standard_library(every=25))

    assert len(sample) > 20
    assert [] == list(refused(sample))


@pytest.mark.slow
def test_the_whole_standard_library_passes():
    assert [] == list(refused(standard_library()))


_FRAGMENTS = """" ' \"\"\" ''' { } {{ }} f rf \\ \\N{DASH} : !r # ( ) [ ] f' f" x if =
lambda != b' u" ,""".split()
_FRAGMENTS += ["\n", "\r\n", "\\\n", " "]


def mutated(randomness, count):
    """Sources near an f-string, damaged in a few places, that Python still parses."""
    seeds = [text.strip() for text in (*FSTRINGS.values(), *NESTED.values())]
    for _ in range(count):
        text = list(randomness.choice(seeds))
        for _ in range(randomness.randrange(1, 5)):
            at = randomness.randrange(len(text) + 1)
            gone = randomness.choice([0, 0, 1, 2])
            put = [] if gone == 2 else [randomness.choice(_FRAGMENTS)]
            text[at : at + gone] = put
        source = f"x = {''.join(text)}\ny = {randomness.choice(seeds)}"
        if parses(source):
            yield source, source


def test_damaged_f_strings_pass_where_python_parses_them():
    assert [] == list(refused(mutated(random.Random(7), 4_000)))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10))
def test_many_damaged_f_strings_pass_where_python_parses_them(seed):
    assert [] == list(refused(mutated(random.Random(seed), 50_000)))


def depth_of(source):
    """How deep brackets are nested, by Python's own lexer."""
    depth = deepest = 0
    with warnings.catch_warnings(action="ignore"):  # of escapes that mean nothing
        lines = io.StringIO(source, newline=None)  # each ends in \n, as for a parser
        tokens = list(tokenize.generate_tokens(lines.readline))
    for token in tokens:
        if token.type == tokenize.OP:
            depth += (token.string in "([{") - (token.string in ")]}")
            deepest = max(deepest, depth)
    return deepest


@pytest.mark.skipif(not NESTS, reason="tokenize knows no f-strings up to 3.11")
def test_no_bracket_of_an_f_string_is_missed(monkeypatch):
    for source, _ in mutated(random.Random(11), 4_000):
        depth = depth_of(source)
        if depth:
            monkeypatch.setattr(vocabulary, "BRACKET_DEPTH", depth - 1)
            assert limits_passed(source) is not None, source
