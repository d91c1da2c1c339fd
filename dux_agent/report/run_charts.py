"""The charts of one run: its losses with the decisions on them, and dry runs."""

from collections.abc import Iterable, Sequence

from dux_agent.formatting import verdict_class, went_back_text
from dux_agent.report.axis import Axis
from dux_agent.report.chart import (
    Chart,
    Mark,
    Size,
    axes_of,
    banded,
    chart,
    series,
)
from dux_agent.report.thinning import not_finite, thinned
from dux_agent.run_history.records import DecisionStory, EpochLosses, RunHistory

WIDE = Size(880, 360, right=14, top=34)
NARROW = Size(360, 300, left=40, right=14, top=34)
SMALL = Size(360, 170, left=44)

# Points of the curve of training losses, on a wide and on a narrow screen.
MOST_POINTS = {WIDE: 600, NARROW: 180}
_MOST_MARKS = 400
_MOST_EPOCHS = 300
_BADGE = 9.0  # radius
_MOST_BROKEN = 50


def loss_charts(run: RunHistory) -> tuple[Chart, Chart] | None:
    """The losses of a run, wide and narrow; None where nothing is recorded."""
    if not (run.losses or run.epochs or run.control):
        return None
    return _losses(run, WIDE), _losses(run, NARROW)


def _losses(run: RunHistory, size: Size) -> Chart:
    buckets = thinned(run.losses, MOST_POINTS[size])
    epochs, control = _some(run.epochs), _some(run.control)
    ends = {
        "val": _points(epochs, "val"),
        "test": _points(epochs, "test"),
        "control-val": _points(control, "val"),
        "control-test": _points(control, "test"),
    }
    if not buckets:
        ends["train"] = _points(epochs, "train")
    steps = [each.step for each in buckets] + [0.0]
    losses = [each.mean for each in buckets]
    for points in ends.values():
        steps += [step for step, _ in points]
        losses += [loss for _, loss in points]
    decisions = run.decisions[:_MOST_MARKS]
    steps += [float(decision.decided_at) for decision in decisions]
    steps += [float(back.step) for back in run.went_back]
    across, up = axes_of(size, steps, losses)
    lines = [
        series(name, points, across, up)
        for name, points in reversed(ends.items())
        if points
    ]
    if buckets:
        rows = [(each.step, each.low, each.mean, each.high) for each in buckets]
        lines.insert(0, banded("train", rows, across, up))
    return chart(
        size,
        across,
        up,
        lines,
        marks=[*_marks(decisions, across), *_went_back(run, across)],
        broken=[
            round(across.place(step), 1)
            for step in not_finite(run.losses)[:_MOST_BROKEN]
        ],
    )


def _some(epochs: Sequence[EpochLosses]) -> Sequence[EpochLosses]:
    if len(epochs) <= _MOST_EPOCHS:
        return epochs
    stride = -(-len(epochs) // _MOST_EPOCHS)
    kept = list(epochs[::stride])
    return kept if kept[-1] is epochs[-1] else [*kept, epochs[-1]]


def _points(epochs: Sequence[EpochLosses], name: str) -> list[tuple[float, float]]:
    found = ((epoch.step, getattr(epoch, name)) for epoch in epochs)
    return [(float(step), loss) for step, loss in found if loss is not None]


def _marks(decisions: Iterable[DecisionStory], across: Axis) -> list[Mark]:
    marks: list[Mark] = []
    last = -1e9
    for decision in decisions:
        x = round(across.place(decision.decided_at), 1)
        room = x - last >= 2 * _BADGE + 2
        last = x if room else last
        verdict = verdict_class(decision.verdict)
        label = f"decision {decision.number}, step {decision.decided_at}: {verdict}"
        marks.append(Mark(decision.number, verdict, x, 16.0 if room else None, label))
        if decision.rolled_back_at is not None:
            told = f"decision {decision.number} rolled back at step "
            told, x = f"{told}{decision.rolled_back_at}", decision.rolled_back_at
            at = round(across.place(x), 1)
            marks.append(Mark(decision.number, "rollback", at, None, told))
    return marks


def _went_back(run: RunHistory, across: Axis) -> list[Mark]:
    """Where a run without a language model went back, and to where."""
    marks = []
    for number, back in enumerate(run.went_back[:_MOST_MARKS], 1):
        label = f"rollback {number}, step {back.step}: {went_back_text(back)}"
        x = round(across.place(back.step), 1)
        marks.append(Mark(number, "rollback", x, None, label))
    return marks


def dry_run_chart(losses: Sequence[float], incumbent: Sequence[float]) -> Chart | None:
    """The proposal's and the incumbent's losses in a dry run, step by step."""
    if not losses and not incumbent:
        return None
    both = {
        "incumbent": list(enumerate(incumbent[:200])),
        "proposal": list(enumerate(losses[:200])),
    }
    points = [each for shown in both.values() for each in shown]
    across, up = axes_of(
        SMALL, [float(at) for at, _ in points], [loss for _, loss in points]
    )
    lines = [
        series(name, [(float(at), loss) for at, loss in shown], across, up)
        for name, shown in both.items()
        if shown
    ]
    return chart(SMALL, across, up, lines, x_name="step of the dry run")
