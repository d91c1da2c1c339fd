"""The `dux` command line: the names of the commands, in the order of the help.

A command parses, calls and prints. Whatever a user can mend ends in one line on stderr
and exit code 2; Ctrl-C ends in 130. torch is imported by the commands that need it, so
that `dux --help` answers at once.
"""

import sys
from io import TextIOWrapper

import typer

from dux_agent.cli.bench import bench
from dux_agent.cli.check import check
from dux_agent.cli.doctor import doctor
from dux_agent.cli.evolve import evolve
from dux_agent.cli.experience import experience
from dux_agent.cli.export import export
from dux_agent.cli.fuzz import fuzz
from dux_agent.cli.learn import learn
from dux_agent.cli.mcp import mcp
from dux_agent.cli.models import models
from dux_agent.cli.replay import replay
from dux_agent.cli.report import report
from dux_agent.cli.run import run
from dux_agent.cli.trace import trace
from dux_agent.cli.tune import tune
from dux_agent.cli.watch import watch
from dux_agent.cli.zoo import zoo
from dux_sandbox.process.keeping import kept_warm

app = typer.Typer(
    name="dux",
    help="A language model writes your optimizer while you train.",
    epilog="Example:  dux run digits --control",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

_EXAMPLES = (
    (run, "run digits --lm offline --control --seed 1"),
    (tune, "tune svm:digits --budget 10 --control"),
    (evolve, "evolve family --budget 200"),
    (learn, "learn runs/digits-0 runs/sine-1 --library lessons.sqlite"),
    (check, "check my_optimizer.py --json"),
    (fuzz, "fuzz my_optimizer.py --examples 100"),
    (trace, "trace runs/digits-20261101T120000Z-0"),
    (replay, "replay runs/digits-20261101T120000Z-0"),
    (report, "report runs/digits-0 --price-in 2.5 --price-out 10"),
    (watch, "watch runs/digits-0"),
    (export, "export runs/digits-0 --schedule -o schedule.py"),
    (mcp, "mcp --root ."),
    (models, "models ollama:qwen3 --lm-option temperature=0.7"),
    (doctor, "doctor"),
    (bench, "bench attach-overhead"),
)
for _command, _example in _EXAMPLES:
    app.command(epilog=f"Example:  dux {_example}")(_command)
app.add_typer(experience, name="experience")
app.add_typer(zoo, name="zoo")


def main() -> None:
    """What the `dux` script and `python -m dux_agent` call."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # an arrow must not end a training
            stream.reconfigure(errors="replace")
    with kept_warm():
        app()
