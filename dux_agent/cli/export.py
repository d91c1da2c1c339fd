"""`dux export`: the best rule of a run as a module of its own."""

from pathlib import Path
from typing import Annotated

import typer

from dux_agent.cli.one_line import one_line_errors
from dux_agent.errors import BadArgument


def export(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A run folder.")],
    schedule: Annotated[
        bool,
        typer.Option(
            "--schedule",
            help="All rules as one optimizer that makes the run's switches at the "
            "run's steps.",
        ),
    ] = False,
    name: Annotated[
        str | None,
        typer.Option(
            "--name",
            help="What the class, built as NAME(params), is called.",
            show_default="its own; Schedule",
        ),
    ] = None,
    smaller: Annotated[
        bool,
        typer.Option(
            "--smaller",
            help="Beside the best rule the same without what changes none of its "
            "steps; it is run in jailed processes, which takes a while.",
        ),
    ] = False,
    program: Annotated[
        bool,
        typer.Option(
            "--program",
            help="What the best rule does in a step, operation by operation, as "
            "recorded execution runs it over a matrix and a vector.",
        ),
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Write it there instead of printing it."),
    ] = None,
) -> None:
    """Print the best rule of a run as a stand-alone module that needs only torch.

    The best: lowest validation loss while it was live, else lowest training loss. Of a
    study it is the best configuration, as JSON; of a search its winner.
    """
    with one_line_errors():
        from dux_agent.evolving.evolve import is_search
        from dux_agent.exporting.configuration import export_configuration
        from dux_agent.exporting.module_text import export as text_of
        from dux_agent.run_folder.whole_file import write_whole
        from dux_agent.tuning.recorded_study import is_study

        study, search = is_study(folder), is_search(folder)
        kinds = {"--program": program, "--schedule": schedule, "--smaller": smaller}
        wanted = [option for option, given in kinds.items() if given]
        _check(folder, wanted, name, study=study, search=search)
        if program:
            from dux_agent.exporting.program_text import export_program

            text, what = export_program(folder), "the program"
        elif smaller:
            from dux_agent.exporting.beside import export_with_smaller

            text, what = export_with_smaller(folder), "the module"
        elif search:
            from dux_agent.exporting.winner import export_winner

            text, what = export_winner(folder, name), "the module"
        elif study:
            text, what = export_configuration(folder), "the configuration"
        else:
            text, what = text_of(folder, schedule=schedule, name=name), "the module"
        if output is None:
            typer.echo(text.encode(), nl=False)  # Python and JSON are UTF-8
        else:
            write_whole(output, text, what=what, option="--output")
            typer.echo(output)


def _check(
    folder: Path, wanted: list[str], name: str | None, *, study: bool, search: bool
) -> None:
    """Raise BadArgument for options that do not go together, or with the folder."""
    named = [] if name is None else ["--name"]
    together = wanted + (named if set(wanted) - {"--schedule"} else [])
    if len(together) > 1:
        raise BadArgument(
            f"{' and '.join(together)} were given; one of them was wanted; export "
            f"twice for both."
        )
    of, best, refused = "study of dux tune", "best configuration", wanted + named
    if search:
        of, best, refused = "search of dux evolve", "winner", wanted
    if refused and (study or search):
        raise BadArgument(
            f"{refused[0]} is about the rules of a run and {folder} is a {of}; a run "
            f"was wanted; leave it out for the {best}."
        )
