"""The wall: what a source may say, load and do.

from dux_sandbox import check, load, dry_run, Limits, SourceRejected
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from dux_sandbox.former_modules import keep_former_names

if TYPE_CHECKING:
    from dux_sandbox.dry_runs.side_by_side import dry_run as dry_run
    from dux_sandbox.findings import CheckReport as CheckReport
    from dux_sandbox.findings import DryRunReport as DryRunReport
    from dux_sandbox.findings import Finding as Finding
    from dux_sandbox.findings import RuleFailed as RuleFailed
    from dux_sandbox.findings import SourceRejected as SourceRejected
    from dux_sandbox.limits import Limits as Limits
    from dux_sandbox.loading import load as load
    from dux_sandbox.static_check import check as check

_HOME = {
    "check": "static_check",
    "load": "loading",
    "dry_run": "dry_runs.side_by_side",
    "Limits": "limits",
    "Finding": "findings",
    "CheckReport": "findings",
    "DryRunReport": "findings",
    "RuleFailed": "findings",
    "SourceRejected": "findings",
}

__all__ = sorted(_HOME)


keep_former_names(
    {
        "dux_sandbox.drawing": "dux_sandbox.laws.drawing",
        "dux_sandbox.judging": "dux_sandbox.laws.judging",
        "dux_sandbox.law_trial": "dux_sandbox.jailed_laws",
        "dux_sandbox.lawful": "dux_sandbox.laws",
        "dux_sandbox.trial": "dux_sandbox.dry_runs.side_by_side",
        "dux_sandbox.trying": "dux_sandbox.dry_runs",
    }
)

# No module here is called like a name it hands out (check, load, dry_run): an
# import of the module would shadow the function.


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
