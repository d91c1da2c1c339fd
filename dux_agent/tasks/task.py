"""Where `Task` was before it had siblings; `dux_agent.tasks.in_memory` is its place."""

import warnings
from typing import Any

from dux_agent.tasks import in_memory

_MOVED = {"Task": "InMemoryTask", "Batch": "Batch", "DATA_SEED": "DATA_SEED"}


def __getattr__(name: str) -> Any:
    if name not in _MOVED:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    warnings.warn(
        f"dux_agent.tasks.task.{name} is dux_agent.tasks.in_memory.{_MOVED[name]} now; "
        f"the former goes with the next version.",
        DeprecationWarning,
        stacklevel=2,
    )
    return getattr(in_memory, _MOVED[name])
