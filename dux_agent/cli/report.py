"""`dux report`: a run folder as one page."""

from pathlib import Path
from typing import Annotated

import typer

from dux_agent.cli.one_line import one_line_errors

PriceIn = Annotated[
    float | None,
    typer.Option(help="Dollars per million tokens that the model is sent."),
]
PriceOut = Annotated[
    float | None,
    typer.Option(help="Dollars per million tokens that the model answers."),
]
"""The options of every command that tells of money."""


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
    price_in: PriceIn = None,
    price_out: PriceOut = None,
) -> None:
    """Write one self-contained HTML page of a run, or one that compares several."""
    with one_line_errors():
        from dux_agent.report.money import Prices
        from dux_agent.report.page import write_report

        prices = Prices(price_in, price_out)
        typer.echo(write_report(folders, output=output, prices=prices))
