"""The `dux` command line: runs, vetting, run folders, benchmarks.

It parses, calls and prints. Whatever a user can mend ends in one line on stderr and
exit code 2; Ctrl-C ends in 130. torch is imported by the commands that need it, so
that `dux --help` answers at once.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from dux_agent.benchmarks import BENCHMARKS
from dux_agent.errors import BadArgument, DuxError
from dux_agent.tasks import TASKS

app = typer.Typer(
    name="dux",
    help="A language model writes your optimizer while you train.",
    epilog="Example:  dux run digits --control",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


class Execution(StrEnum):
    """Where accepted rules run."""

    auto = "auto"
    isolated = "isolated"
    inline = "inline"


def main() -> None:
    """What the `dux` script and `python -m dux_agent` call."""
    app()


@contextmanager
def _one_line_errors() -> Iterator[None]:
    try:
        yield
    except DuxError as error:
        typer.echo(f"dux: {error}", err=True)
        raise typer.Exit(2) from None
    except KeyboardInterrupt:
        typer.echo("dux: interrupted; what was recorded so far is kept.", err=True)
        raise typer.Exit(130) from None


_TASK_HELP = "; ".join(f"{name}: {text}" for name, text in TASKS.items())


@app.command(epilog="Example:  dux run digits --lm offline --control --seed 1")
def run(
    context: typer.Context,
    task: Annotated[
        str | None,
        typer.Argument(
            help=f"{_TASK_HELP}. Left out only with --resume.", show_default=False
        ),
    ] = None,
    lm: Annotated[
        str,
        typer.Option(
            help="offline (rule-based, not a language model), openai:NAME, "
            "ollama:NAME, recorded:FILE or any provider:name of LangChain."
        ),
    ] = "offline",
    task_description: Annotated[
        str | None,
        typer.Option(help="A few words on the task that the model is told."),
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option(help="Epochs to train.", show_default="the task's own: 5"),
    ] = None,
    seed: Annotated[
        int, typer.Option(help="Of weights, batches, dropout and agent.")
    ] = 0,
    control: Annotated[
        bool,
        typer.Option(
            "--control",
            help="First train with the base optimizer only, from the same weights; "
            "its figures stand beside the run's.",
        ),
    ] = False,
    run_dir: Annotated[
        Path | None,
        typer.Option(
            help="The run folder to make.", show_default="runs/TASK-TIME-SEED"
        ),
    ] = None,
    execution: Annotated[
        Execution,
        typer.Option(
            help="isolated: accepted rules stay in a locked-down process; inline: "
            "they run in this one; auto: isolated on Linux, else inline."
        ),
    ] = Execution.auto,
    every: Annotated[
        int | None,
        typer.Option(
            help="Steps between decisions.",
            show_default="one decision before every epoch but the first",
        ),
    ] = None,
    resume: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Go on with the run in this folder, which died; everything else is "
            "as it was.",
        ),
    ] = None,
) -> None:
    """Train a task while an agent writes, checks, tries and applies optimizers."""
    with _one_line_errors():
        if resume is not None:
            from dux_agent.runs.resuming import go_on

            go_on(resume, _given(context))
            return
        if task is None:
            raise BadArgument(
                f"no task was named; one of {', '.join(TASKS)} was wanted; run for "
                f"instance dux run digits."
            )
        from dux_agent.terminal.display import TrainingDisplay
        from dux_agent.terminal.report_text import print_result
        from dux_agent.train import train

        with TrainingDisplay(Console(stderr=True)) as display:
            result = train(
                task,
                lm=lm,
                epochs=epochs,
                seed=seed,
                run_dir=run_dir or _free_run_dir(task, seed),
                control=control,
                task_description=task_description,
                execution=execution.value,
                every=every,
                on_event=display,
            )
        print_result(Console(), result)


def _given(context: typer.Context) -> dict[str, Any]:
    """The arguments that stand on the command line, without those left out."""
    return {
        name: getattr(value, "value", value)
        for name, value in context.params.items()
        if getattr(context.get_parameter_source(name), "name", "") == "COMMANDLINE"
    }


def _free_run_dir(task: str, seed: int) -> Path:
    """runs/TASK-TIME-SEED below the working directory, not taken yet."""
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    # An unknown task is refused later; its name must not make a path of its own.
    name = f"{task if task in TASKS else 'unknown'}-{stamp}-{seed}"
    path, count = Path("runs") / name, 1
    while path.exists():
        count += 1
        path = Path("runs") / f"{name}-{count}"
    return path


@app.command(epilog="Example:  dux check my_optimizer.py --json")
def check(
    files: Annotated[
        list[str],
        typer.Argument(metavar="FILE...", help="Python files, one rule each."),
    ],
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON list instead of a table.")
    ] = False,
    static: Annotated[
        bool, typer.Option("--static", help="Only read the source; run nothing.")
    ] = False,
) -> None:
    """Vet optimizers: a static check, then a dry run in a locked-down process.

    Exit code 0: all are accepted; 1: at least one is refused; 2: a file cannot be
    read.
    """
    with _one_line_errors():
        from dux_agent.terminal.vetting import read_source, vet
        from dux_agent.trace import plain

        # All are read before the first is tried: one wrong name costs no waiting.
        sources = [(file, read_source(file)) for file in files]
        vetted = [vet(file, source, static=static) for file, source in sources]
        if as_json:
            held = plain([one.as_dict() for one in vetted])
            typer.echo(json.dumps(held, indent=2, allow_nan=False))
        else:
            from dux_agent.terminal.report_text import print_vetted

            print_vetted(Console(), vetted)
        if not all(one.ok for one in vetted):
            raise typer.Exit(1)


@app.command(epilog="Example:  dux fuzz my_optimizer.py --examples 100")
def fuzz(
    files: Annotated[
        list[str],
        typer.Argument(metavar="FILE...", help="Python files, one rule each."),
    ],
    examples: Annotated[
        int,
        typer.Option(help="Cases drawn for each law; 0: those made by hand only."),
    ] = 50,
    skip: Annotated[
        list[str] | None,
        typer.Option(help="A law to leave out; may be given again."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of what is drawn.")] = 0,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON list instead of text.")
    ] = False,
) -> None:
    """Try the laws of an optimizer on files, in a locked-down process.

    Exit code 0: every law is kept; 1: one is broken, and a script shows how; 2: a
    file cannot be read, or an argument cannot be meant.
    """
    with _one_line_errors():
        from dux_agent.terminal.fuzzing import check_arguments, fuzz_files

        check_arguments(examples, skip or [])
        if not fuzz_files(files, examples, skip or [], seed, as_json=as_json):
            raise typer.Exit(1)


@app.command(epilog="Example:  dux trace runs/digits-20261101T120000Z-0")
def trace(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A run folder.")],
    decision: Annotated[
        int | None,
        typer.Option(help="Only this one: prompt, reply, findings, curves, diff."),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object instead of tables.")
    ] = False,
    follow: Annotated[
        bool, typer.Option("--follow", help="Go on showing until the run ends.")
    ] = False,
) -> None:
    """Show the decisions of a run folder as a table."""
    with _one_line_errors():
        from dux_agent.terminal.tracing import show

        show(Console(), folder, decision=decision, as_json=as_json, live=follow)


@app.command(epilog="Example:  dux replay runs/digits-20261101T120000Z-0")
def replay(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A run folder.")],
) -> None:
    """Run a recorded run again from its replies, without a model, and compare.

    Exit code 0: the same decisions and losses; 1: something differs; 2: it cannot be
    replayed. DIR is not changed.
    """
    with _one_line_errors():
        from dux_agent.runs.replaying import replay as run_again
        from dux_agent.terminal.display import TrainingDisplay
        from dux_agent.terminal.report_text import print_replay

        with TrainingDisplay(Console(stderr=True)) as display:
            compared = run_again(folder, on_event=display)
        print_replay(Console(), compared)
        if compared.differences:
            raise typer.Exit(1)


@app.command(epilog="Example:  dux report runs/digits-0 --price-in 2.5 --price-out 10")
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
    with _one_line_errors():
        from dux_agent.report.money import Prices
        from dux_agent.report.page import write_report

        prices = Prices(price_in, price_out)
        typer.echo(write_report(folders, output=output, prices=prices))


@app.command(epilog="Example:  dux export runs/digits-0 --schedule -o schedule.py")
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

    The best: lowest validation loss while it was live, else lowest training loss.
    """
    with _one_line_errors():
        from dux_agent.exporting.module_text import export as text_of
        from dux_agent.record.whole_file import write_whole

        text = text_of(folder, schedule=schedule)
        if output is None:
            typer.echo(text, nl=False)
        else:
            write_whole(output, text, what="the module", option="--output")
            typer.echo(output)


@app.command(epilog="Example:  dux doctor")
def doctor() -> None:
    """Show which layers of the jail hold on this system, and what each costs."""
    with _one_line_errors():
        from dux_agent.terminal.report_text import print_layers
        from dux_sandbox.jail import layers
        from dux_sandbox.spawning import IsolationUnavailable

        try:
            found = layers()
        except IsolationUnavailable as error:
            raise DuxError(str(error)) from None
        print_layers(Console(), found)


@app.command(epilog="Example:  dux bench attach-overhead")
def bench(
    name: Annotated[
        str | None,
        typer.Argument(
            help=f"One of {', '.join(BENCHMARKS)}.", show_default="all of them"
        ),
    ] = None,
) -> None:
    """Run the benchmarks; exit code 1 if a bar is missed."""
    with _one_line_errors():
        from dux_agent.benchmarks import run_benchmarks

        if not run_benchmarks(name, Console()):
            raise typer.Exit(1)
