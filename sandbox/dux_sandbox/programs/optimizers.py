"""What the rules of `dux check` say of the optimizers that a program writes itself."""

from dataclasses import dataclass

from dux_sandbox.findings import Finding
from dux_sandbox.gathering.gathered import Gathered
from dux_sandbox.gathering.outline import outline
from dux_sandbox.gathering.slicing import only_needed
from dux_sandbox.static_check import check


@dataclass(frozen=True)
class WrittenOptimizer:
    """An optimizer class of a program.

    Attributes:
        name: of the class.
        findings: of the static check, at lines of the program; none: it would pass as
            a rule.
    """

    name: str
    findings: tuple[Finding, ...]

    def __str__(self) -> str:
        if not self.findings:
            return f"{self.name}: passes dux check"
        first = self.findings[0]
        more = f" and {len(self.findings) - 1} more" if len(self.findings) > 1 else ""
        line = "" if first.line is None else f", line {first.line}"
        return f"{self.name}: refused by dux check{line}: {first.message[:200]}{more}"


def optimizers_in(source: str) -> tuple[WrittenOptimizer, ...]:
    """Each optimizer that a source defines; none where it cannot be read.

    Each is judged with what it uses of the program and nothing else, as `dux check`
    would in a file of its own. It decides nothing: the jail holds the whole program.
    """
    about = outline(source)
    if about is None:
        return ()
    whole = Gathered.of("program", source)
    found = []
    for name in about.rules:
        lines = only_needed(whole, about, [name])
        report = check(lines.text)
        placed = tuple(lines.placed(each)[1] for each in report.findings)
        found.append(WrittenOptimizer(name, placed))
    return tuple(found)
