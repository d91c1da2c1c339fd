"""The program of the best rule of a run, as recorded execution runs it."""

from pathlib import Path

import torch

from dux_agent.errors import DuxError
from dux_agent.exporting.best import best_rule
from dux_agent.run_history.reading import read_story
from dux_agent.showing import one_line

# Of each kind that rules tell apart: a matrix and a vector.
_SHAPES = ((8, 4), (4,))


def export_program(folder: str | Path) -> str:
    """What the best rule of a run does in a step, over a matrix and a vector.

    It is recorded for this in a jailed process.

    Args:
        folder: a run folder; nothing in it is changed.

    Raises:
        RunFolderUnusable: it is no run folder.
        DuxError: no rule was applied, its source is missing, or it cannot be recorded.
    """
    from dux_sandbox.findings import CannotRunSo, SourceRejected
    from dux_sandbox.recorded.printing import printed
    from dux_sandbox.replaying.foreseen import foresee

    decision = best_rule(read_story(folder)).decision
    source = decision.source
    if not source:
        raise DuxError(
            f"the source of decision {decision.number} is missing from {folder}; the "
            f"file that it was written to was wanted; look into its folder of rules."
        )
    weights = [torch.nn.Parameter(torch.full(shape, 0.1)) for shape in _SHAPES]
    try:
        found = foresee(source, [{"params": weights}])
    except (CannotRunSo, SourceRejected) as error:
        raise DuxError(str(error)) from None
    if found.why is not None:
        raise DuxError(
            f"the rule of decision {decision.number} cannot be printed as a program: "
            f"{one_line(str(found.why))}"
        )
    return "".join(
        f"# {name} of decision {decision.number}\n{printed(program)}\n\n"
        for name, program in found.programs.items()
    )
