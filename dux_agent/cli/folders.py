"""`dux trace`, `report` and `export`: what a run folder holds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from dux_agent.cli.one_line import one_line_errors
from dux_agent.tuning.recorded_study import is_study


def trace(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A run folder.")],
    decision: Annotated[
        int | None,
        typer.Option(
            help="Only this one: prompt, reply, findings, curves, diff; of a study "
            "this trial."
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object instead of tables.")
    ] = False,
    follow: Annotated[
        bool, typer.Option("--follow", help="Go on showing until the run ends.")
    ] = False,
) -> None:
    """Show the decisions of a run folder as a table."""
    with one_line_errors():
        if is_study(folder):
            from dux_agent.terminal.study_text import show_study

            show_study(Console(), folder, trial=decision, as_json=as_json)
            return
        from dux_agent.terminal.tracing import show

        show(Console(), folder, decision=decision, as_json=as_json, live=follow)


def report(
    folders: Annotated[
        list[Path], typer.Argument(metavar="DIR...", help="Run folders.")
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="The file to write.",
            show_default="DIR/report.html; comparison.html beside the first of several",
        ),
    ] = None,
    price_in: Annotated[
        float | None,
        typer.Option(help="Dollars per million tokens that the model is sent."),
    ] = None,
    price_out: Annotated[
        float | None,
        typer.Option(help="Dollars per million tokens that the model answers."),
    ] = None,
) -> None:
    """Write one self-contained HTML page of a run, or one that compares several."""
    with one_line_errors():
        from dux_agent.report.money import Prices
        from dux_agent.report.page import write_report

        prices = Prices(price_in, price_out)
        typer.echo(write_report(folders, output=output, prices=prices))


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
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Write it there instead of printing it."),
    ] = None,
) -> None:
    """Print the best rule of a run as a stand-alone module that needs only torch.

    The best: lowest validation loss while it was live, else lowest training loss. Of a
    study it is the best configuration, as JSON.
    """
    with one_line_errors():
        from dux_agent.exporting.configuration import export_configuration
        from dux_agent.exporting.module_text import export as text_of
        from dux_agent.run_folder.whole_file import write_whole

        if is_study(folder):
            text, what = export_configuration(folder), "the configuration"
        else:
            text, what = text_of(folder, schedule=schedule), "the module"
        if output is None:
            typer.echo(text, nl=False)
        else:
            write_whole(output, text, what=what, option="--output")
            typer.echo(output)
