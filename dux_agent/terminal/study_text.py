"""A study in the terminal: its trials, one of them whole, what a replay found."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from dux_agent.errors import BadArgument
from dux_agent.formatting import plural, study_model_title
from dux_agent.run_folder.trace import plain
from dux_agent.showing import one_line
from dux_agent.terminal.report_text import say
from dux_agent.terminal.tables import plain_table
from dux_agent.tuning.reading import StudyTold, TrialTold, read_study
from dux_agent.tuning.study import Study, Trial, best_of
from dux_prompts.tuning.program import headline, program_in
from dux_prompts.tuning.values import figure


def trial_line(trial: Trial, study: Study) -> str:
    """One trial as it ends: its value, and the best so far."""
    best = study.best
    told = "" if best is None else f"best {figure(best.value)}, "
    return (
        f"trial {trial.number}: {_value(trial)}  {told}by {trial.by}  "
        f"{_config(trial, 60)}"
    )


def print_study(console: Console, study: Study) -> None:
    """The trials of a study that just ended, and what it came to."""
    console.print(_table(study.trials, study.maximize))
    for line in study_lines(study):
        say(console, line)


def study_lines(study: Study) -> list[str]:
    """What a study came to, in a few sentences."""
    best, lines = study.best, []
    if best is None:
        lines.append(f"{plural(len(study.trials), 'trial')}, none with a value")
    else:
        report = "" if best.report is None else f"; {_report(best.report)}"
        lines.append(
            f"best {figure(best.value)} in trial {best.number} of {len(study.trials)}: "
            f"{_whole(best)}{report}"
        )
    beside = best_of(study.control, study.maximize)
    if beside is not None:
        lines.append(
            f"random search from the same defaults, "
            f"{plural(len(study.control), 'trial')}: best {figure(beside.value)}"
        )
    tokens, calls = study.usage.get("total_tokens", 0), study.usage.get("calls", 0)
    cost = f"{plural(int(calls), 'call')}, {plural(int(tokens), 'token')}"
    lines.append(
        f"model: {study_model_title(study.model)}; {cost}; {study.seconds:.1f} s"
    )
    if not study.complete:
        lines.append(f"paused: {one_line(study.reason, 300)}")
    if study.run_dir is not None:
        lines.append(f"run folder: {study.run_dir}")
    return lines


def show_study(
    console: Console, folder: Path, *, trial: int | None = None, as_json: bool = False
) -> None:
    """Print what the run folder of a study tells.

    Args:
        trial: only this one, with everything said and found in it.
        as_json: one JSON object instead.

    Raises:
        DuxError: there is no such study or trial.
    """
    told = read_study(folder)
    chosen = [each for each in told.trials if trial in (None, each.number)]
    if trial is not None and not chosen:
        raise BadArgument(
            f"the study in {folder} has no trial {trial}; one of its "
            f"{len(told.trials)} was wanted; dux trace {folder} lists them."
        )
    if as_json:
        record = plain(record_of(told, chosen))
        console.file.write(json.dumps(record, indent=2, allow_nan=False) + "\n")
    elif trial is not None:
        _print_trial(console, chosen[0])
    else:
        console.print(_table(told.over, told.plan.maximize))
        for line in study_lines(told.study):
            say(console, line)


def record_of(told: StudyTold, chosen: list[TrialTold]) -> dict[str, Any]:
    """A study as plain data, as `dux trace --json` prints it."""
    return {
        "run": told.facts,
        "trials": [asdict(each) for each in chosen],
        "control": [each.as_dict() for each in told.control],
        "usage": told.usage,
    }


def replay_and_print(
    console: Console, folder: Path, *, task: str | None, execution: str | None = None
) -> bool:
    """Evaluate a study once more; whether it is the same."""
    from dux_agent.tuning.replaying import replay_study

    told, differences = replay_study(folder, task=task, execution=execution)
    for line in differences:
        say(console, one_line(line, 300))
    ended = plural(len(differences), "difference") if differences else "the same"
    trials = plural(len(told.over), "trial")
    console.print(f"{trials} evaluated again: {ended}")
    return not differences


def _table(trials: tuple[Trial, ...], maximize: bool) -> Table:
    best = best_of(trials, maximize)
    table = plain_table("Trials")
    table.add_column("#", justify="right", no_wrap=True)
    table.add_column("value", justify="right", overflow="fold")
    table.add_column("by", no_wrap=True)
    table.add_column("configuration\nreason", ratio=1, overflow="fold")
    for trial in trials:
        mark = "bold" if best is not None and trial.number == best.number else ""
        why = f"\n{one_line(trial.why, 160)}" if trial.why else ""
        told = Text(_config(trial, 200)) + Text(why, style="dim")
        value = Text(_value(trial), style=mark)
        table.add_row(str(trial.number), value, Text(one_line(trial.by, 20)), told)
    return table


def _print_trial(console: Console, told: TrialTold) -> None:
    trial = told.trial
    if trial is not None:
        console.print(Text(f"trial {told.number}: {_value(trial)}, by {trial.by}"))
        console.print(Text(_config(trial, 2000)))
        if trial.why:
            console.print(Text(f"why: {one_line(trial.why, 2000)}"))
        source = program_in(trial.config)
        if source is not None:
            console.print(Text(_visible(source)))
        if isinstance(trial.report, dict):
            console.print(Text(_report(trial.report)))
        if source is None and trial.proposed is not None:
            console.print(Text(f"as written: {json.dumps(plain(trial.proposed))}"))
    for number, prompt in enumerate(told.prompts, 1):
        console.rule(f"prompt {number}")
        for message in prompt[-2:]:
            console.print(Text(_visible(f"{message.get('role')}:")))
            console.print(Text(_visible(str(message.get("content")))))
        if number <= len(told.replies):
            console.rule(f"reply {number}")
            console.print(Text(_visible(told.replies[number - 1])))
        for found in told.findings[number - 1 : number]:
            for each in found:
                line = f"found: [{each.get('rule')}] {each.get('message')}"
                console.print(Text(one_line(line, 600)))
    for trouble in told.troubles:
        console.print(Text(f"trouble: {one_line(trouble, 600)}"))


def _visible(text: str) -> str:
    """Lines that a terminal only shows, and does not obey."""
    return "\n".join(one_line(line) for line in text.splitlines())


def _value(trial: Trial) -> str:
    if trial.value is None:
        return f"failed: {one_line(trial.error, 60)}"
    return f"{trial.value:.6g}"


def _config(trial: Trial, width: int) -> str:
    source = program_in(trial.config)
    if source is not None:
        return one_line(headline(source) or "a program", width)
    values = (f"{name}={figure(value)}" for name, value in trial.config.items())
    return one_line(", ".join(values), width)


def _whole(trial: Trial) -> str:
    """A configuration as JSON; a program by its first line."""
    if program_in(trial.config) is None:
        return json.dumps(plain(trial.config))
    return _config(trial, 160)


def _report(report: Any) -> str:
    if isinstance(report, dict):
        return ", ".join(
            f"{name.replace('_', ' ')} {_reported(value)}"
            for name, value in report.items()
        )
    return one_line(str(report), 80)


def _reported(value: Any) -> str:
    if isinstance(value, list):
        return one_line("; ".join(map(str, value)), 400)
    return figure(value)
