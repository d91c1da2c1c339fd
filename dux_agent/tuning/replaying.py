"""`dux replay DIR` of a study: its trials again, from the recorded replies."""

import tempfile
from pathlib import Path

from dux_agent.errors import BadArgument
from dux_agent.run_folder.run_facts import read_facts
from dux_agent.run_folder.trace import read
from dux_agent.showing import one_line
from dux_agent.tuning.evaluating import Objective
from dux_agent.tuning.objectives import CODE, find
from dux_agent.tuning.reading import StudyTold, read_study
from dux_agent.tuning.recorded_study import recorded_study
from dux_agent.tuning.study import Trial
from dux_agent.tuning.tune import OnTrial, tune
from dux_agent.tuning_tasks.named import is_task
from dux_graphs.recorded import RecordedChatModel
from dux_graphs.recorded_trace import answers_in


def objective_of(
    folder: str | Path, task: str | None, execution: str | None = None
) -> Objective:
    """The objective that a study names; one of yours only where it is said again.

    A folder may be anybody's, so its word alone has nothing imported, and a program
    runs in the jail unless `execution` says otherwise.

    Raises:
        BadArgument: it is one of yours, or none that can be found by a name.
    """
    named = str(read_facts(folder).get("task") or "")
    code = recorded_study(folder)[0].is_code
    ours = is_task(named) or (code and named.startswith(CODE))
    found = None
    if task or ours:
        place = execution or "isolated"
        found = find(task or named, code=code, execution=place)
    if found is None:
        raise BadArgument(
            f"the study in {folder} tuned {named or 'a function of your own'!r}, which "
            f"a folder alone does not have run; its name was wanted; say it again: dux "
            f"tune NAME --resume DIR, or dux replay DIR --task NAME."
        )
    return found.objective


def replay_study(
    folder: str | Path,
    *,
    task: str | None = None,
    execution: str | None = None,
    on_trial: OnTrial | None = None,
) -> tuple[StudyTold, list[str]]:
    """Every trial once more: asked from the recorded replies, and evaluated again.

    Args:
        task, execution: as of `objective_of`.

    Returns:
        The recorded study, and what differs, one line each.

    Raises:
        DuxError: it is no study, or its objective cannot be had.
    """
    told, objective = read_study(folder), objective_of(folder, task, execution)
    events = read(folder)
    answers = answers_in(each.body for each in events if each.body is not None)
    name = str(told.facts.get("model"))
    model = RecordedChatModel(replies=answers, model_name=name, once=True)
    options = told.plan.facts() | {"budget": max(1, len(told.over))}
    asked = None if name == "none" else model
    with tempfile.TemporaryDirectory(prefix="dux-replay-") as place:
        again = tune(
            objective,
            told.space,
            lm=asked,
            run_dir=Path(place) / "run",
            on_trial=on_trial,
            **options,
        )
    differences = []
    pairs = [
        (f"trial {a.number}", a, b)
        for a, b in zip(told.over, again.trials, strict=False)
    ]
    pairs += [
        (f"control {a.number}", a, b)
        for a, b in zip(told.control, again.control, strict=False)
    ]
    for where, one, other in pairs:
        differences += _differing(where, one, other)
    for number in range(len(again.trials), len(told.over)):
        differences.append(f"trial {number + 1}: recorded, and not replayed")
    return told, differences


def _differing(where: str, one: Trial, other: Trial) -> list[str]:
    found = []
    for name in ("config", "measured", "value", "state"):
        before, after = getattr(one, name), getattr(other, name)
        if before != after:
            words = [one_line(str(each), 120) for each in (before, after)]
            found.append(f"{where}: {name} was {words[0]}, now {words[1]}")
    return found
