"""How much time and memory a rule may use."""

import math
from dataclasses import dataclass
from numbers import Real


@dataclass(frozen=True)
class Limits:
    """Bounds on a rule that runs in a child process.

    Attributes:
        seconds: time the rule may use in one dry run, all steps together, seconds.
            Where training itself is slow, on a large model or a busy machine, a rule
            may use ten times what the forward and backward passes use there.
        memory: bytes the child may take over what it holds when it starts.
        state: bytes that a rule may keep for each byte of the parameters, beside a
            sixteenth of `memory`; a program that would keep more is not run.
        step_seconds: the longest a single live step may take, seconds. The live
            optimizer narrows it from the dry run's times.
        closure_calls: how often one step may call its closure.
        require: names of jail layers (see `dux_sandbox.process.jail`) without which no
            rule is run at all.
        graph_memory: bytes of a CUDA device that captured steps of a recorded rule may
            keep for themselves; 0: no step is captured in a CUDA graph. It has been
            measured on no device yet.
    """

    seconds: float = 4.0
    memory: int = 1 << 30
    state: float = 8.0
    step_seconds: float = 4.0
    closure_calls: int = 10
    require: tuple[str, ...] = ()
    graph_memory: int = 0

    def __post_init__(self) -> None:
        for name in ("seconds", "memory", "state", "step_seconds", "closure_calls"):
            value = getattr(self, name)
            if not (_is_number(value) and value > 0):
                raise ValueError(
                    f"Limits({name}={value!r}): it must be a number above 0; "
                    f"leave it out for the default."
                )
        asked = self.graph_memory
        if not (_is_number(asked) and 0 <= asked < math.inf):
            raise ValueError(
                f"Limits(graph_memory={asked!r}): it must be bytes, 0 or "
                f"more; leave it out to have no step captured."
            )
        for name in ("memory", "state"):
            if getattr(self, name) == math.inf:
                raise ValueError(
                    f"Limits({name}=inf): bytes are set aside for it, so it must be "
                    f"finite; state=1000.0 is more than rules keep."
                )


def _is_number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)
