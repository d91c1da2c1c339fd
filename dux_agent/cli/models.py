"""`dux models`: tries a language model, and lists those that can be reached."""

import os
from typing import Annotated

import typer
from rich.console import Console

from dux_agent.cli.one_line import one_line_errors
from dux_agent.errors import BadArgument


def models(
    name: Annotated[
        str | None,
        typer.Argument(
            help="The language model, as dux run --lm names it. Left out only with "
            "--list.",
            show_default=False,
        ),
    ] = None,
    listed: Annotated[
        bool,
        typer.Option(
            "--list", help="Show what can be reached here; no paid model is asked."
        ),
    ] = False,
    lm_option: Annotated[
        list[str] | None,
        typer.Option(help="As of dux run; may be given again.", show_default="none"),
    ] = None,
    lm_timeout: Annotated[
        float, typer.Option(help="Seconds until the first token of a reply.")
    ] = 600.0,
    price_in: Annotated[
        float | None,
        typer.Option(
            help="Dollars per million tokens that go in.", show_default="not known"
        ),
    ] = None,
    price_out: Annotated[
        float | None,
        typer.Option(
            help="Dollars per million tokens that come out.", show_default="not known"
        ),
    ] = None,
) -> None:
    """Try a language model: a tiny call, then one proposal for digits.

    Exit code 0: its proposal passes the reader, the static check and the dry run; 1: it
    does not, or the model gave none; 2: the name means nothing.
    """
    with one_line_errors():
        if listed:
            from dux_agent.reachable_models import reachable
            from dux_agent.terminal.model_text import print_reachable

            print_reachable(Console(), reachable(os.environ))
            return
        if name is None:
            raise BadArgument(
                "no language model was named; one as dux run --lm takes it was wanted; "
                "run for instance dux models ollama:qwen3, or dux models --list."
            )
        from dux_agent import arguments
        from dux_agent.model_trial import try_model
        from dux_agent.report.money import Prices
        from dux_agent.runs.written import model_options
        from dux_agent.terminal.model_text import print_trial

        arguments.check_seconds("--lm-timeout", lm_timeout)
        prices = Prices(price_in, price_out)
        trial = try_model(name, options=model_options(lm_option), timeout=lm_timeout)
        print_trial(Console(), name, trial, prices)
        if not trial.ok:
            raise typer.Exit(1)
