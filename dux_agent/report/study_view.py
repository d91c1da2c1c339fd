"""What the page says of a study: a `StudyTold` made into plain values."""

import json
from typing import Any

from dux_agent.formatting import plural, seconds_text, study_model_title
from dux_agent.report.run_figures import figure as headed
from dux_agent.report.study_charts import best_charts, parallel
from dux_agent.run_folder.trace import plain
from dux_agent.showing import one_line
from dux_agent.tuning.reading import StudyTold, TrialTold
from dux_agent.tuning.study import Trial, best_of
from dux_prompts.tuning.program import headline, program_in
from dux_prompts.tuning.values import figure, shown

View = dict[str, Any]

_MOST_TRIALS = 1000


def study_view(told: StudyTold, most: int) -> View:
    """The values that `templates/study.html.j2` writes down.

    Args:
        told: what happened.
        most: characters of each text that are shown.
    """
    budget, over = told.plan.budget, len(told.over)
    ended = budget is not None and over >= budget
    name = one_line(str(told.facts.get("task") or "an objective"), 200)
    best = told.best
    label = "Best value so far by evaluation"
    if best is not None:
        label += f": {figure(best.value)} at evaluation {best.number}"
    return {
        "title": f"{name}, seed {told.plan.seed}",
        "lead": f"{study_model_title(str(told.facts.get('model')))} · "
        f"{told.facts.get('created')} · {one_line(str(told.path), 200)}",
        "finished": ended,
        "state": f"finished: {plural(over, 'trial')}"
        if ended
        else f"still going on, or paused: {over} of {budget} trials recorded",
        "figures": _figures(told),
        "charts": best_charts(told),
        "chart_label": label,
        "control": bool(told.control),
        "parallel": parallel(told),
        "trials": [_trial(each, told, most) for each in told.trials[:_MOST_TRIALS]],
        "left_out": max(0, len(told.trials) - _MOST_TRIALS),
        "options": [
            (name, json.dumps(plain(value)))
            for name, value in told.plan.facts().items()
            if name != "task"
        ],
        "task": one_line(told.plan.task, most),
        "space": [
            (
                name,
                each.words(told.plan.free),
                "" if each.default is None else shown(each.default),
            )
            for name, each in told.space.items()
        ],
    }


def _figures(told: StudyTold) -> list[View]:
    best, control = told.best, best_of(told.control, told.plan.maximize)
    figures = []
    if best is not None:
        note = f"trial {best.number}, by {best.by}"
        figures.append(headed("best value", figure(best.value), note))
        if isinstance(best.report, dict):
            numbers = [e for e in best.report.items() if isinstance(e[1], int | float)]
            for name, value in numbers[:4]:
                words = one_line(str(name).replace("_", " "), 40)
                figures.append(headed(words, figure(value), "of that trial"))
    if control is not None:
        note = f"{plural(len(told.control), 'trial')} from the same defaults"
        figures.append(headed("random search", figure(control.value), note))
    failed = sum(trial.value is None for trial in told.over)
    fallback = sum(trial.by == "fallback" for trial in told.over)
    found = sum(len(each.found) for each in told.trials)
    note = f"{failed} failed, {fallback} by fallback, {plural(found, 'finding')}"
    figures.append(headed("trials", str(len(told.over)), note))
    tokens = told.usage.get("total_tokens", 0)
    calls = plural(int(told.usage.get("calls", 0)), "call")
    figures.append(headed("tokens", f"{int(tokens):,}", f"in {calls}"))
    spent = sum(trial.seconds for trial in told.over)
    length = seconds_text(told.ended - told.began)
    figures.append(headed("time", length, f"{seconds_text(spent)} of it evaluating"))
    return figures


def _noted(trial: Trial | None, most: int) -> list[str]:
    """What the evaluation noted beside its figures."""
    report = None if trial is None else trial.report
    noted = report.get("optimizers") if isinstance(report, dict) else None
    listed = noted if isinstance(noted, list) else []
    return [one_line(f"optimizer {each}", most) for each in listed]


def _trial(one: TrialTold, told: StudyTold, most: int) -> View:
    trial = one.trial
    best = told.best is not None and trial is not None and trial == told.best
    source = None
    if trial is None:
        value, by, why, config = "not over", "", "", ""
    else:
        value = figure(trial.value) if trial.value is not None else "failed"
        by, why = one_line(trial.by, 40), one_line(trial.why, most)
        source = program_in(trial.config)
        config = ", ".join(f"{n}={shown(v)}" for n, v in trial.config.items())
        if source is not None:
            config = headline(source) or "a program"
        elif trial.proposed is not None:
            config += f" (written {json.dumps(plain(trial.proposed))})"
    return {
        "number": one.number,
        "value": value,
        "best": best,
        "by": by,
        "why": why,
        "error": "" if trial is None else one_line(trial.error, most),
        "config": one_line(config, most),
        "source": "" if source is None else source[:most],
        "noted": _noted(trial, most),
        "found": [one_line(each, most) for each in one.found],
        "troubles": [one_line(each, most) for each in one.troubles],
        "replies": [each[:most] for each in one.replies],
    }
