"""The best configuration of a study as JSON, or its best program."""

import json
from collections.abc import Iterable
from pathlib import Path

from dux_agent.errors import DuxError
from dux_agent.run_folder.trace import plain
from dux_agent.tuning.programs import export_program
from dux_agent.tuning.reading import read_study
from dux_agent.tuning.turns import LM
from dux_prompts.tuning.config_reply import Configuration
from dux_prompts.tuning.program import SOURCE, Program, program_in
from dux_prompts.tuning.program_reply import read_program


def export_configuration(folder: str | Path) -> str:
    """The configuration with the best value, with what it gave and who proposed it.

    Of a study of code it is the program, under comments that say the same.

    Raises:
        DuxError: no trial has a value.
        RunFolderUnusable: it is no study.
    """
    told = read_study(folder)
    if told.best is None:
        raise DuxError(
            f"the study in {folder} has no trial with a value; one was wanted; let it "
            f"go on: dux tune --resume {folder}."
        )
    best_trial = told.best
    source = program_in(best_trial.config)
    if source is not None:
        (one,) = [each for each in told.trials if each.number == best_trial.number]
        strange = best_trial.by == LM and source not in _written(one.replies)
        name = str(told.facts.get("task"))
        return export_program(best_trial, name, source, strange=strange)
    record = {"task": told.facts.get("task"), "config": best_trial.config}
    record |= {"value": best_trial.value, "report": best_trial.report}
    record |= {"trial": best_trial.number, "by": best_trial.by, "why": best_trial.why}
    return json.dumps(plain(record), indent=2) + "\n"


def _written(replies: Iterable[str]) -> set[str]:
    """The programs that replies hold."""
    read = [read_program(each) for each in replies]
    return {
        Program().typed(each.config[SOURCE])
        for each in read
        if isinstance(each, Configuration)
    }
