"""The dry runs of one try: each a whole one, or fewer and fewer for longer."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from dux_graphs.search.strategy import Rung
from dux_graphs.source_form import form_of
from dux_graphs.state import CandidateState, Ports
from dux_graphs.step_budget import WHOLE, rungs_of, steps_of
from dux_sandbox.findings import DryRunReport, Finding

Judged = Callable[[CandidateState, dict[str, Any]], None]
Tried = list[tuple[CandidateState, DryRunReport]]


def tried(
    ports: Ports,
    candidates: Sequence[CandidateState],
    judged: Judged,
    before: Sequence[Mapping[str, Any]] = (),
) -> Tried:
    """Each proposal with the report on it, in the order that they were proposed in.

    Of sources that differ in nothing that runs only the first is tried. Where the
    strategy has rungs, those that others left behind are refused, but for as long as
    none of those others passes a whole dry run.

    Args:
        judged: is told of each dry run, with the report as plain data.
        before: the attempts of the decision's earlier tries.
    """
    reports: dict[int, DryRunReport] = {}
    forms: dict[str, int] = {}
    for number, candidate in enumerate(candidates):
        first = forms.setdefault(form_of(candidate["source"]), number)
        if first != number:
            reports[number] = _refused(
                "repeated",
                f"it runs as proposal {first + 1} of this try does, to the last step",
                "a rule that differs in kind",
            )
            judged(candidate, reports[number].as_dict())
    going = [number for number in range(len(candidates)) if number not in reports]
    rungs, further = [WHOLE], None
    if ports.dry_run_steps is not None:
        rungs = [*rungs_of(ports.searches, len(going))]
        further = ports.step_budget.further(before, len(going))

    def run(number: int, rung: Rung) -> DryRunReport:
        source = candidates[number]["source"]
        if rung.share >= 1 or ports.dry_run_steps is None:
            told, report = {}, ports.dry_run(source)
        else:
            steps = steps_of(rung, ports.dry_run_steps)
            told, report = {"steps": steps}, ports.dry_run(source, steps=steps)
        judged(candidates[number], report.as_dict() | told)
        return report

    with ports.turn:
        left_behind = _climb(going, rungs, run, reports, further)
    for number in left_behind:
        reports[number] = _left_behind(reports[number])
        judged(candidates[number], reports[number].as_dict())
    return [(candidates[number], reports[number]) for number in sorted(reports)]


def _climb(
    going: list[int],
    rungs: Sequence[Rung],
    run: Callable[[int, Rung], DryRunReport],
    reports: dict[int, DryRunReport],
    further: int | None,
) -> list[int]:
    """Fill the reports of those that are going, rung by rung; who was left behind.

    Args:
        further: whole dry runs that may follow those; None: any number.
    """
    left_behind: list[int] = []
    for place, rung in enumerate(rungs):
        going, left = going[: rung.keep], going[rung.keep :]
        left_behind = left + left_behind
        for number in going:
            reports[number] = run(number, rung)
        passed = [number for number in going if reports[number].ok]
        if place < len(rungs) - 1:
            going = sorted(passed, key=lambda number: _last(reports[number]))
    # Whoever was ahead has failed at last: the next best is tried as a whole.
    further = len(left_behind) if further is None else further
    while left_behind and further and not any(reports[each].ok for each in going):
        going, further = [left_behind.pop(0)], further - 1
        reports[going[0]] = run(going[0], rungs[-1])
    return left_behind


def _left_behind(report: DryRunReport) -> DryRunReport:
    steps = len(report.losses) - 1
    others = f"after {steps} steps of its dry run other proposals were better"
    behind = _refused("left_behind", others, "a rule that gains earlier")
    return replace(
        behind, losses=report.losses, incumbent_losses=report.incumbent_losses
    )


def _refused(rule: str, message: str, instead: str) -> DryRunReport:
    return DryRunReport(False, findings=(Finding(rule, None, message, instead),))


def _last(report: DryRunReport) -> float:
    return report.losses[-1] if report.losses else float("inf")
