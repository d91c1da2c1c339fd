"""`dux watch`: the report of a run while it goes on."""

from pathlib import Path
from typing import Annotated

import typer

from dux_agent.cli.one_line import one_line_errors
from dux_agent.cli.report import PriceIn, PriceOut


def watch(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="DIR",
            help="A run folder, one that holds several, or one that is to come.",
        ),
    ],
    port: Annotated[
        int,
        typer.Option(
            help="Of the loopback.", min=0, max=65535, show_default="one that is free"
        ),
    ] = 0,
    price_in: PriceIn = None,
    price_out: PriceOut = None,
) -> None:
    """Serve the report of a run, live, on this machine; approve and pause decisions."""
    with one_line_errors():
        from dux_agent.report.money import Prices
        from dux_agent.watching.server import serve

        prices = Prices(price_in, price_out)
        try:
            serve(folder, port=port, prices=prices, tell=typer.echo)
        except KeyboardInterrupt:
            typer.echo("dux watch has ended; a training goes on without it.", err=True)
            raise typer.Exit(130) from None
