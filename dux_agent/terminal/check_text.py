"""What `dux check` prints: verdicts, findings with their places, a folder's summary."""

from collections import Counter
from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.text import Text

from dux_agent.checking.vetted import Fixed, Told, Vetted, VettedClass
from dux_agent.formatting import loss_text
from dux_agent.showing import one_line
from dux_agent.terminal.report_text import say
from dux_agent.terminal.tables import plain_table
from dux_sandbox.findings import printable


def print_checked(console: Console, vetted: Sequence[Vetted], *, summary: bool) -> None:
    """What came of it: file by file, or as the summary of a folder."""
    if summary:
        print_summary(console, vetted)
    else:
        print_vetted(console, vetted)


def print_vetted(console: Console, vetted: Sequence[Vetted]) -> None:
    """Each verdict, class by class; then every finding with its place."""
    for one in vetted:
        for line in _verdicts(one):
            say(console, line)
        if one.fixed is not None:
            for line in _rewritten(one.fixed):
                say(console, line)
    refused = [one for one in vetted if one.findings and not one.settled]
    if not refused:
        return
    table = plain_table("Findings")
    table.add_column("where", overflow="fold")
    table.add_column("rule", no_wrap=True)
    table.add_column("found", ratio=2, overflow="fold")
    table.add_column("instead", ratio=1, overflow="fold")
    for one in refused:
        for name, told in _attributed(one):
            table.add_row(
                Text(_place(told) + name),
                Text(one_line(told.finding.rule)),
                Text(one_line(told.finding.message)),
                Text(one_line(told.finding.instead)),
            )
    console.print(table)


def _rewritten(fixed: Fixed) -> Iterator[str]:
    """What `--fix` did to a file; then the diff."""
    if fixed.target is not None:
        yield f"  written to {one_line(f'{fixed.target}: {fixed.compared}')}"
    elif fixed.trouble:
        yield f"  nothing is written: {one_line(fixed.trouble)}"
    else:
        yield "  nothing to rewrite"
    for change in fixed.changes:
        yield f"  line {change.origin[1]}: {one_line(change.what)}"
    for line in fixed.diff.splitlines():
        yield printable(line)


def _attributed(one: Vetted) -> Iterator[tuple[str, Told]]:
    """Each finding, with the class that it is about where there are several."""
    several = len(one.classes) > 1
    for told in one.about:
        yield "", told
    for each in one.classes:
        for told in each.findings:
            yield f" {each.name}" if several else "", told


def _verdicts(one: Vetted) -> Iterator[str]:
    several = len(one.classes) > 1 or one.kind == "script"
    if several or one.about or not one.classes:
        yield f"{_named(one)}: {_counted(one)}"
    for each in one.classes:
        if each.name is not None and several:
            yield f"  {each.name}: {_verdict(each)}"
        elif not one.about:
            yield f"{_named(one)}: {_verdict(each)}"
        for note in each.notes:
            said = one_line(f"{note.finding.rule}: {note.finding.message}")
            yield f"  line {note.finding.line}: {said}"


def _named(one: Vetted) -> str:
    beside = ", ".join(one.beside)
    return one_line(f"{one.file} with {beside}" if beside else one.file)


def _counted(one: Vetted) -> str:
    """The verdict on a file of several classes."""
    if one.kind == "script":
        return "refused: a whole script"
    if not one.classes:
        return "refused"
    fine = sum(each.ok for each in one.classes)
    return f"{fine} of {len(one.classes)} classes accepted"


def _verdict(one: VettedClass) -> str:
    how = "accepted" if one.ok else "refused"
    tried = one.dry_run
    if tried is not None and tried.losses:
        how += (
            f"; dry run: loss {loss_text(tried.losses[0])} -> "
            f"{loss_text(tried.losses[-1])} in {tried.seconds:.2f} s"
        )
    if one.recorded:
        how += "; can be recorded"
    elif one.unrecorded is not None:
        line = one.unrecorded.finding.line
        where = "" if line is None else f"line {line}: "
        how += f"; runs isolated: {where}{one_line(one.unrecorded.finding.message)}"
    return how


def _place(told: Told) -> str:
    line = "" if told.finding.line is None else f":{told.finding.line}"
    return one_line(told.file) + line


def print_summary(console: Console, vetted: Sequence[Vetted]) -> None:
    """One row a file, with its classes, its verdict and what speaks against it."""
    table = plain_table("Files")
    table.add_column("file", overflow="fold", ratio=2)
    table.add_column("classes", overflow="fold", ratio=2)
    table.add_column("verdict", no_wrap=True)
    table.add_column("first finding", overflow="fold", ratio=3)
    for one in vetted:
        table.add_row(
            Text(one_line(one.file)),
            Text(", ".join(each.name for each in one.classes if each.name)),
            Text(one.verdict, style=_COLOURS.get(one.verdict, "")),
            Text(_first(one)),
        )
    console.print(table)
    counts = Counter(one.verdict for one in vetted)
    classes = sum(len([each for each in one.classes if each.name]) for one in vetted)
    told = ", ".join(f"{counts[name]} {name}" for name in _COLOURS if counts[name])
    files = "1 file" if len(vetted) == 1 else f"{len(vetted)} files"
    say(console, f"{files}, {classes} optimizers: {told}")
    for one in vetted:
        if one.fixed is not None and one.fixed.target is not None:
            told = f"written to {one.fixed.target}: {one.fixed.compared}"
            say(console, one_line(told))
        elif one.fixed is not None and one.fixed.trouble:
            say(console, one_line(f"{one.file}: not rewritten: {one.fixed.trouble}"))
    if counts["refused"] or counts["script"]:
        say(console, "`dux check FILE` shows every finding of a file")


_COLOURS = {"accepted": "green", "refused": "red", "script": "yellow", "skipped": "dim"}


def _first(one: Vetted) -> str:
    if one.skipped:
        return "no optimizer in it"
    if not one.findings:
        return ""
    told = one.findings[0]
    place = "" if told.file == one.file else f"{told.file}, "
    line = "" if told.finding.line is None else f"line {told.finding.line}: "
    more = len(one.findings) - 1
    rest = f" (and {more} more)" if more else ""
    return one_line(f"{place}{line}{told.finding.message}{rest}")
