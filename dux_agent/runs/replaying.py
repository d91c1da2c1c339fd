"""`dux replay DIR`: the same run again from its recorded replies, and what differs."""

import math
import operator
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dux_agent.deciding.pace import Pace
from dux_agent.run_folder.events import LossEvent, RollbackEvent
from dux_agent.run_folder.trace import Event, number, read
from dux_agent.runs.plan import Plan
from dux_agent.runs.progress import Progress
from dux_graphs.events import ApplyEvent, DryRunEvent, ErrorEvent, StaticCheckEvent


@dataclass(frozen=True)
class Difference:
    """One thing that the replay did otherwise.

    Attributes:
        where: such as "decision 2" or "step 134".
        what: such as "verdict" or "loss".
        recorded, replayed: the two values, as text.
    """

    where: str
    what: str
    recorded: str
    replayed: str


@dataclass(frozen=True)
class Replay:
    """What came of a replay.

    Attributes:
        decisions, losses: how many of each were compared.
        complete: the recorded run had come to its end.
        differences: in the order of the run; empty when both are the same.
        strangers: prompts that read otherwise than the recorded ones, as after trouble
            with the model, which a replay has none of. No difference by themselves.
    """

    decisions: int
    losses: int
    complete: bool
    differences: tuple[Difference, ...]
    strangers: int = 0


class _Enough(Exception):
    """The replay has come as far as the recorded run had."""


def replay(
    folder: str | Path,
    *,
    execution: str | None = None,
    task: str | None = None,
    on_event: Callable[[Progress], None] | None = None,
) -> Replay:
    """Run what a run folder records once more and compare.

    Nothing in the folder is changed; the replay has a temporary folder of its own. Of
    a run that died as much is replayed as there is.

    Args:
        folder: a run folder.
        execution: how accepted rules run, as `dux_agent.runs.training.resume` takes it.
        task: its task, said again, as it takes it too.
        on_event: as `dux_agent.runs.training.train` takes it.

    Raises:
        DuxError: it is no run of `dux run`, or its trace is damaged.
    """
    from dux_agent.runs.recorded_plan import planned
    from dux_agent.runs.training import train
    from dux_graphs.recorded import RecordedChatModel
    from dux_graphs.recorded_trace import answers_in

    folder = Path(folder).expanduser().absolute()
    plan = planned(folder, execution=execution, task=task)
    recorded = read(folder)
    last = max((_place(event, plan) for event in recorded), default=(0, 0))
    complete = any(
        isinstance(event.body, LossEvent)
        and (event.body.scope, event.body.epoch) == ("epoch", plan.epochs)
        for event in recorded
    )

    def listen(progress: Progress) -> None:
        if on_event is not None:
            on_event(progress)
        if complete or progress.kind != "step":
            return
        course = 0 if progress.course == "control" else 1
        steps = (progress.epoch - 1) * progress.steps + progress.step
        # Not at the last step itself: the decision that is made there comes after it.
        if (course, steps) > last:
            raise _Enough

    answers = answers_in(event.body for event in recorded if event.body is not None)
    model = RecordedChatModel(replies=answers, model_name=plan.model, once=True)
    with tempfile.TemporaryDirectory(prefix="dux-replay-") as place:
        again = Path(place) / "run"
        try:
            alone = replace(plan, fallback=None, lm_options=None, lm_weights=None)
            # What was shown of a library stands in the trace.
            alone = replace(alone, experience=None)
            person = _answers_in(recorded)
            train(
                alone,
                lm=model,
                run_dir=again,
                on_event=listen,
                person=person,
                pace=Pace.of(recorded),
            )
        except _Enough:
            pass
        replayed = read(again)
    compared = compare(recorded, replayed, complete=complete)
    return replace(compared, strangers=model.strangers)


def _answers_in(events: Sequence[Event]) -> Callable[[Mapping[str, Any]], bool | str]:
    """What a person said of each proposal, as the trace tells it."""
    approved: set[str | None] = set()
    told: dict[str | None, str] = {}
    for event in events:
        body = event.body
        if isinstance(body, ApplyEvent) and body.digest:
            approved.add(body.digest)
        elif isinstance(body, ErrorEvent) and body.error == "build":
            approved.add(body.digest)  # what cannot be built was approved first
        elif isinstance(body, ErrorEvent) and body.error == "not_approved":
            told[body.digest] = body.message

    def answer(proposal: Mapping[str, Any]) -> bool | str:
        digest = proposal["digest"]
        return told.get(digest, digest in approved)

    return answer


def _place(event: Event, plan: Plan) -> tuple[int, int]:
    """The course, 0 for the control's, and the step in it."""
    control = isinstance(event.body, LossEvent) and event.body.scope == "control"
    return (0 if control else 1, event.step)


def compare(
    recorded: Sequence[Event], replayed: Sequence[Event], *, complete: bool = True
) -> Replay:
    """Where two traces of one run differ: digests, verdicts, dry runs, losses.

    Args:
        recorded, replayed: their events.
        complete: the recorded one had come to its end; else what it lacks counts as
            not recorded, and not as different.
    """
    ours, theirs = _decisions(recorded), _decisions(replayed)
    differences: list[Difference] = []
    compared = 0
    for which in sorted(ours.keys() | theirs.keys()):
        one, other = ours.get(which), theirs.get(which)
        if not complete and (one is None or one["verdict"] == "unfinished"):
            continue
        # Both ended while it was made in the background: how far it had come by then
        # is the machine's and stands nowhere.
        if one and other and one["verdict"] == other["verdict"] == "unfinished":
            continue
        compared += 1
        differences += _differing(f"decision {which}", one, other)
    before, after = _losses(recorded), _losses(replayed)
    places = [place for place in before if place in after]
    if complete:
        places = sorted(before.keys() | after.keys())
    for place in places:
        differences += _differing(
            _named(place), before.get(place), after.get(place), same=_same_loss
        )
    return Replay(compared, len(places), complete, tuple(differences))


def _decisions(events: Sequence[Event]) -> dict[int, dict[str, Any]]:
    """What each decision came to, by number."""
    decisions: dict[int, dict[str, Any]] = {}
    for event in events:
        if event.decision is None:
            continue
        told = decisions.setdefault(
            event.decision,
            {"proposals": [], "dry runs": [], "verdict": "unfinished", "digest": None},
        )
        body = event.body
        if isinstance(body, StaticCheckEvent):
            told["proposals"].append([body.digest, body.ok])
        elif isinstance(body, DryRunEvent):
            curves = [number(loss) for loss in body.losses]
            other = [number(loss) for loss in body.incumbent_losses]
            told["dry runs"].append([body.digest, body.ok, curves, other])
        elif isinstance(body, ApplyEvent):
            told["verdict"], told["digest"] = body.verdict, body.digest
        elif isinstance(body, RollbackEvent):
            told["verdict"] = "rolled_back"
    return decisions


def _losses(events: Sequence[Event]) -> dict[tuple[int, int, str], dict[str, Any]]:
    """The losses by place: epoch or 0, step, scope."""
    losses: dict[tuple[int, int, str], dict[str, Any]] = {}
    for event in events:
        body = event.body
        if isinstance(body, LossEvent):
            place = (body.epoch or 0, event.step, body.scope or "")
            means = {"loss": body.loss, "val": body.val, "test": body.test}
            losses[place] = {
                name: mean for name, mean in means.items() if mean is not None
            }
    return losses


def _named(place: tuple[int, int, str]) -> str:
    epoch, step, scope = place
    if not epoch:
        return f"step {step}"
    return f"control, epoch {epoch}" if scope == "control" else f"epoch {epoch}"


def _same_loss(one: Any, other: Any) -> bool:
    return repr(one) == repr(other)


def _differing(
    where: str,
    one: dict[str, Any] | None,
    other: dict[str, Any] | None,
    *,
    same: Callable[[Any, Any], bool] = operator.eq,
) -> Iterator[Difference]:
    if one is None or other is None:
        there = ("missing", "there") if one is None else ("there", "missing")
        yield Difference(where, "", *there)
        return
    for what in dict.fromkeys([*one, *other]):
        ours, theirs = one.get(what), other.get(what)
        if not same(ours, theirs):
            yield Difference(where, what, _text(ours), _text(theirs))


def _text(value: Any) -> str:
    if isinstance(value, list):
        return f"{len(value)}: " + ", ".join(map(_text, value[:3]))
    if isinstance(value, float) and math.isfinite(value):
        return repr(value)
    text = str(value)
    return text[:12] if len(text) == 64 else text[:60]
