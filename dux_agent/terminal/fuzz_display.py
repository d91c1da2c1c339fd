"""What `dux fuzz` shows: a bar while the laws are tried, then what came of them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.text import Text

from dux_agent.checking.fuzzing import Fuzzed, LawsAsked, fuzz
from dux_agent.errors import BadArgument
from dux_agent.showing import one_line
from dux_agent.terminal.decision_text import clean_lines
from dux_agent.terminal.report_text import say

if TYPE_CHECKING:
    from collections.abc import Callable

    from dux_agent.checking.rule_texts import RuleText
    from dux_sandbox.laws import LawResult


@contextmanager
def progress(
    console: Console, file: str, laws: int
) -> Iterator[Callable[[LawResult], None]]:
    """A bar that moves on with each law; goes away when it is over."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("laws"),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(escape(one_line(file)), total=laws)
        yield lambda _: bar.advance(task)


def print_fuzzed(console: Console, fuzzed: Fuzzed) -> None:
    """One file: what was not simply kept, each law in a line, and the scripts.

    Laws that were not judged for one reason share a line.
    """
    kept = sum(result.verdict in ("kept", "relaxed") for result in fuzzed.results)
    verdict = "[green]lawful[/]" if fuzzed.ok else "[red]broken[/]"
    head = Text.from_markup("[red]refused[/]" if fuzzed.findings else verdict)
    name = fuzzed.file if fuzzed.rule is None else f"{fuzzed.file} {fuzzed.rule}"
    head.append(f"  {one_line(name)}")
    if fuzzed.results:
        head.append(f"  {kept} of {len(fuzzed.results)} laws are kept")
    if fuzzed.unjudged:
        head.append(f", {len(fuzzed.unjudged)} not judged")
    if fuzzed.traits:
        head.append(f"  (declares {one_line(', '.join(fuzzed.traits))})")
    console.print(head, soft_wrap=True)
    for finding in fuzzed.findings:
        say(console, f"  {one_line(str(finding))}")
    if fuzzed.golden is not None:
        say(console, f"  golden: {one_line(fuzzed.golden.message)}")
    for result in fuzzed.results:
        if result.verdict in ("broken", "relaxed"):
            say(console, f"  {result.name}: {one_line(result.message)}")
    unjudged: dict[str, list[str]] = {}
    for result in fuzzed.results:
        if result.verdict == "unjudged":
            unjudged.setdefault(result.message, []).append(result.name)
    for message, names in unjudged.items():
        say(console, f"  {', '.join(names)}: {one_line(message)}")
    for result in fuzzed.results:
        if result.example and not result.ok:
            say(console, f"\n# --- {result.name}: {one_line(result.message)}")
            say(console, "\n".join(clean_lines(result.example)))


def _check_traits(file: str, rule: RuleText) -> None:
    """Raise BadArgument for a trait that is none, before a bar stands in the way."""
    from dux_sandbox.laws.traits import UnknownTrait, declared_by

    if not rule.findings:  # what is refused may not even parse
        try:
            declared_by(rule.text)
        except UnknownTrait as error:
            raise BadArgument(f"{file}: {error}") from None


def fuzz_files(
    files: Sequence[str],
    asked: LawsAsked,
    *,
    as_json: bool,
    names: Sequence[str] = (),
    beside: Sequence[str] = (),
    options: Sequence[str] = (),
    golden: str | None = None,
) -> bool:
    """Fuzz every optimizer in files and print what came of it; whether all is kept.

    With `golden`, each is also run on fixed problems: the first is recorded there where
    nothing is yet, the others are compared.

    Raises:
        DuxError: as `fuzz`, where a file cannot be read, and where `names`, `options`
            or `golden` does not go with so many.
    """
    from dux_agent.checking.golden_file import judge_golden, read_golden

    rules = _rules(files, names, beside, options, golden)
    if golden is not None:
        read_golden(golden)  # what is no golden file costs no waiting either
    console, tried = Console(), []
    for file, rule in rules:
        _check_traits(file, rule)
        with progress(Console(stderr=True), file, len(asked.names())) as advance:
            done = fuzz(file, rule, asked, at=file, on_result=advance)
        if golden is not None and not done.findings:
            done = replace(done, golden=judge_golden(golden, rule.text))
        tried.append(done)
        if not as_json:
            print_fuzzed(console, done)
    if as_json:
        print(json.dumps([each.as_dict() for each in tried], indent=2))
    return all(each.ok for each in tried)


def _rules(
    files: Sequence[str],
    names: Sequence[str],
    beside: Sequence[str],
    options: Sequence[str],
    golden: str | None,
) -> list[tuple[str, RuleText]]:
    """All optimizers of all files, before the first is tried: a wrong name costs no
    waiting."""
    from dux_agent.checking.beside import files_beside
    from dux_agent.checking.given_options import GivenOptions, only_for_one_file
    from dux_agent.checking.rule_texts import rules_of
    from dux_agent.checking.vetting import read_source

    only_for_one_file(len(files), names, options)
    given = GivenOptions.of(options)
    sources = [(file, read_source(file)) for file in files]
    others = files_beside(beside)
    found = []
    for file, source in sources:
        rules = rules_of(file, source, names, others, given)
        if golden is not None and len(rules) > 1:
            raise BadArgument(
                f"--golden {golden} is for one optimizer of a file, and {file} has "
                f"{', '.join(str(rule.name) for rule in rules)}; name one with --class."
            )
        found += [(file, rule) for rule in rules]
    return found
