"""The benchmarks behind `dux bench`: each measures one promise against its bar."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from importlib import import_module
from typing import TYPE_CHECKING

from dux_agent.benchmarks.measurement import Measurement
from dux_agent.errors import BadArgument

if TYPE_CHECKING:
    from rich.console import Console

BENCHMARKS = (
    "attach-overhead",
    "overhead",
    "decision-time",
    "four-candidates",
    "static-check",
    "heavy-check",
    "fresh-child",
    "isolated-step",
    "isolated-message",
    "tracing-cost",
    "background-throughput",
    "background-wait",
)


def _busy(console: Console, name: str) -> AbstractContextManager[object]:
    return console.status(f"{name} ...") if console.is_terminal else nullcontext()


def run_benchmarks(name: str | None, console: Console) -> bool:
    """Run one benchmark, or all, print each result; whether every bar was kept.

    Raises:
        BadArgument: there is no benchmark of that name.
    """
    if name is not None and name not in BENCHMARKS:
        raise BadArgument(
            f"there is no benchmark {name!r}; it must be one of "
            f"{', '.join(BENCHMARKS)}, or another that dux bench --help names; "
            "pick one of them."
        )
    from dux_agent.runs.training import torch_threads

    ok = True
    for one in BENCHMARKS if name is None else (name,):
        module = import_module(f"{__name__}.{one.replace('-', '_')}")
        # As `dux run` trains: one thread, which also makes for steadier times.
        with torch_threads(1), _busy(console, one):
            result: Measurement = module.measure()
        console.print(str(result), markup=False, highlight=False, soft_wrap=True)
        ok &= result.ok
    return ok
