"""`check`: parse and judge a source; run nothing; never raise."""

import ast
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from types import CodeType

from dux_sandbox.findings import CheckReport, Finding, digest_of
from dux_sandbox.language import vocabulary
from dux_sandbox.language.before_parsing import limits_passed
from dux_sandbox.language.bindings import collect, levels
from dux_sandbox.language.contract import find_rule
from dux_sandbox.language.flow import flow_of
from dux_sandbox.language.foreign_imports import with_uses
from dux_sandbox.language.hidden_characters import hidden_character
from dux_sandbox.language.policy import Policy, without_main
from dux_sandbox.language.preparing import prepare
from dux_sandbox.language.quiet_parsing import quiet_parser
from dux_sandbox.language.reached import NOTHING, Unreached, unreached
from dux_sandbox.language.tree_size import flow_too_large, too_deep, tree_too_large
from dux_sandbox.language.usage import usage_after

_MOST_FINDINGS = 20
_TRIES = 5


@dataclass(frozen=True)
class Judgement:
    """A report, and where it is clean what is loaded.

    Attributes:
        report: of the check.
        code: the guarded code.
        rule: the name of the rule.
        asks_closure: whether its step raises at once where it is given no closure, or
            calls it in any case.
        sensors: names of the sensors that it declares.
    """

    report: CheckReport
    code: CodeType | None = None
    rule: str | None = None
    asks_closure: bool = False
    sensors: tuple[str, ...] = ()


def check(source: str, *, where: Callable[[int], str] = str) -> CheckReport:
    """Judge a source by the language policy and the class contract.

    Runs nothing of it and never raises, whatever the text.

    Args:
        where: how a finding names another line of the source than its own.

    >>> check("import os").ok
    False
    >>> check("import os").findings[0].rule
    'import'
    """
    return judge(source, where=where).report


def judge(source: str, *, where: Callable[[int], str] = str) -> Judgement:
    """`check`, with the guarded code object that `load` executes."""
    if not isinstance(source, str):
        finding = Finding(
            "syntax", None, f"a {type(source).__name__}, not text", "pass Python source"
        )
        return Judgement(CheckReport(False, digest_of(""), (finding,)))
    digest = digest_of(source)
    with quiet_parser():
        passed = limits_passed(source) or hidden_character(source)
    if passed is not None:
        return Judgement(CheckReport(False, digest, (passed,)))
    try:
        return _undisturbed(lambda: _judge(source, digest, where))
    except SyntaxError as error:
        message = f"not valid Python: {error.msg}"
        finding = Finding("syntax", error.lineno, message, "mend the syntax")
    except (RecursionError, MemoryError):
        finding = too_deep(None)
    except ValueError as error:
        message = f"not valid Python: {error}"[:200]
        finding = Finding("syntax", None, message, "write plain Python")
    # The wall: whatever a text does to the judge itself, it is refused.
    except Exception as error:
        message = f"the source could not be judged ({type(error).__name__})"
        finding = Finding("internal", None, message, "write it more plainly")
    return Judgement(CheckReport(False, digest, (finding,)))


def _undisturbed(judged: Callable[[], Judgement]) -> Judgement:
    """What comes of it, tried again where another thread parses at the same time.

    CPython 3.11 counts the depth of syntax trees for all threads together, and ends
    one of two in a SystemError (gh-106905).
    """
    for _ in range(_TRIES - 1):
        try:
            return judged()
        except SystemError:
            continue
    return judged()


def _judge(source: str, digest: str, where: Callable[[int], str]) -> Judgement:
    tree = _parsed(source)
    layers = list(itertools.islice(levels(tree), vocabulary.TREE_DEPTH + 1))
    passed = tree_too_large(layers)
    if passed is not None:
        return Judgement(CheckReport(False, digest, (passed,)))
    statements = len(tree.body)
    without_main(tree)
    changed, notes = prepare(tree, layers)
    if changed or statements != len(tree.body):
        layers = list(levels(tree))
    flow = flow_of(tree)
    passed = flow_too_large(flow)
    if passed is not None:
        return Judgement(CheckReport(False, digest, (passed,)))
    bindings = collect(tree, layers)
    contract = find_rule(tree, bindings)
    unused: set[ast.stmt] = set()
    if contract.rule is not None:
        unused, note = usage_after(tree, contract.rule, bindings.modules)
        notes += [note] if note is not None else []
    rule = contract.rule
    policy = Policy(
        bindings, flow, unused, lambda: _unreached(source, rule) if rule else NOTHING
    )
    guarded = policy.visit(tree)
    findings = _in_order([*policy.findings, *contract.findings])
    if findings:
        findings = with_uses(findings, lambda: _parsed(source), where)
        return Judgement(CheckReport(False, digest, findings))
    with quiet_parser():
        code = compile(guarded, f"<rule {digest[:12]}>", "exec", dont_inherit=True)
    report = CheckReport(True, digest, (), (*notes, *policy.notes))
    return Judgement(report, code, rule, contract.asks_closure, contract.sensors)


@lru_cache(maxsize=64)
def sensors_of(source: str) -> tuple[str, ...]:
    """The sensors that the rule of a source declares; none of one that is refused."""
    # Judged only where the word stands somewhere in the text.
    return judge(source).sensors if "sensors" in source else ()


def _parsed(source: str) -> ast.Module:
    with quiet_parser():
        text = source.removeprefix("\ufeff")
        return ast.parse(text, "<rule>", feature_version=(3, 11))


def _unreached(source: str, rule: str) -> Unreached:
    """What of a source its rule does not come to, by a tree of its own."""
    tree = _parsed(source)
    without_main(tree)
    prepare(tree, list(levels(tree)))
    bindings = collect(tree)
    usage_after(tree, rule, bindings.modules)
    return unreached(tree, bindings, rule)


def _in_order(findings: list[Finding]) -> tuple[Finding, ...]:
    """Each fault once, by line (none: last), the first ones only, for a prompt.

    Of a rule that hooks into layers, what it does with those is no fault of its own.
    """
    if any(found.instead == vocabulary.NO_HOOKS for found in findings):
        findings = [
            found
            for found in findings
            if found.instead != vocabulary.NO_MODEL
            and not found.message.startswith("torch.nn.")
        ]
    ordered = sorted(dict.fromkeys(findings), key=lambda found: found.line or 1 << 30)
    return tuple(ordered[:_MOST_FINDINGS])
