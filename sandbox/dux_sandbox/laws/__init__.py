"""The laws of an optimizer: cases, experiments, and scripts that show what broke.

from dux_sandbox.laws import check_laws
for result in check_laws(lambda params: torch.optim.Adam(params, lr=1e-3)):
    print(result.name, result.ok, result.message)
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dux_sandbox.laws.judging import LawResult as LawResult
    from dux_sandbox.laws.law import Drawn as Drawn
    from dux_sandbox.laws.law import Law as Law
    from dux_sandbox.laws.suite import LAWS as LAWS
    from dux_sandbox.laws.suite import OPTIONAL_LAWS as OPTIONAL_LAWS
    from dux_sandbox.laws.suite import HypothesisMissing as HypothesisMissing
    from dux_sandbox.laws.suite import check_laws as check_laws
    from dux_sandbox.laws.suite import iter_laws as iter_laws
    from dux_sandbox.laws.suite import laws_to_try as laws_to_try
    from dux_sandbox.laws.traits import TRAITS as TRAITS

_HOME = {
    "LAWS": "suite",
    "OPTIONAL_LAWS": "suite",
    "TRAITS": "traits",
    "Drawn": "law",
    "HypothesisMissing": "suite",
    "Law": "law",
    "LawResult": "judging",
    "check_laws": "suite",
    "iter_laws": "suite",
    "laws_to_try": "suite",
}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
