"""The winner of a search as the text of a module: one class, wherever one is wanted."""

from pathlib import Path

from dux_agent.errors import DuxError
from dux_agent.evolving.evolve import SEARCH
from dux_agent.evolving.reading import change, read_in_words, read_search
from dux_agent.exporting import sensed_text
from dux_agent.exporting.module_text import WARNING, called, sound_source, with_head
from dux_agent.run_folder.kept_sources import read_kept_source
from dux_sandbox.static_check import sensors_of


def export_winner(folder: str | Path, name: str | None = None) -> str:
    """The text of a module that needs only torch.

    Args:
        folder: of a search; nothing in it is changed, nothing of it is run.
        name: of the class; None: its own.

    Raises:
        RunFolderUnusable: it is no search.
        BadArgument: no class of that name can stand in the module.
        DuxError: the search is not over, or its source is missing or damaged.
    """
    with read_in_words(folder):
        told = read_search(folder)
        winner = told.reported().get(SEARCH)
    if winner is None:
        raise DuxError(
            f"the search in {folder} has reported no winner; one that is over was "
            f"wanted; go on with it: dux evolve --resume {folder}."
        )
    source = read_kept_source(told.path, winner.row.digest)
    if source is None:
        raise DuxError(
            f"the winner's source is not in {folder} under its digest "
            f"{winner.row.digest[:12]}; the file that the search wrote was wanted; "
            f"restore sources/ of the run folder."
        )
    own, source = called(*sound_source(source, "the winner"), name)
    mean = sum(winner.seeds) / len(winner.seeds)
    head = [
        f"{own}: the winner of a search of dux-agent, as a module of its own.",
        "",
        f"search: {told.path.name}, selected by {', '.join(told.plan.tasks)}, seed "
        f"{told.plan.seed}",
        f"thought: {winner.row.thought}",
        f"loss beside AdamW at its defaults: {change(mean)} on "
        f"{', '.join(told.plan.report)}",
        told.verdict(),
        f"digest: {winner.row.digest}",
        *sensed_text.told(sensors_of(source), None),
        "",
        *WARNING.replace("The model above wrote the rule", "The search wrote the rule")
        .replace("In the run it was guarded while it ran", "There it was guarded")
        .split("\n"),
        "",
        f"    optimizer = {own}(model.parameters())",
    ]
    return with_head(head, own, source, done=0, total=None)
