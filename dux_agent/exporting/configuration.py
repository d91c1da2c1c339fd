"""The best configuration of a study as JSON, or its best program."""

from __future__ import annotations

import json
from pathlib import Path

from dux_agent.errors import DuxError
from dux_agent.run_folder.trace import plain
from dux_agent.tuning.programs import export_program
from dux_agent.tuning.reading import read_study
from dux_prompts.tuning.program import program_in


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
        return export_program(best_trial, str(told.facts.get("task")), source)
    record = {"task": told.facts.get("task"), "config": best_trial.config}
    record |= {"value": best_trial.value, "report": best_trial.report}
    record |= {"trial": best_trial.number, "by": best_trial.by, "why": best_trial.why}
    return json.dumps(plain(record), indent=2) + "\n"
