"""Whether a rule will be recorded, and as what: for whoever only wants to know."""

from dataclasses import dataclass

import torch

from dux_sandbox.findings import CannotRunSo, Finding, RuleFailed
from dux_sandbox.limits import Limits
from dux_sandbox.recorded.program import Program
from dux_sandbox.replaying.bounds import bounds_for
from dux_sandbox.replaying.child import RecordingProcess
from dux_sandbox.replaying.hindrance import FAULTS, in_the_way
from dux_sandbox.replaying.replay import Replay
from dux_sandbox.replaying.samples import copies
from dux_sandbox.running_rule import ParamGroups, parameters_of

_STEPS = 3
# After so many that each had to be recorded anew a rule is given up.
_MOST_STEPS = 32


@dataclass(frozen=True)
class Foreseen:
    """What recording a rule came to.

    Attributes:
        programs: by what they are: "first step" and "step 3".
        why: what stands in the way of recording it; None: nothing.
    """

    programs: dict[str, Program]
    why: Finding | None = None


def foresee(source: str, groups: ParamGroups, limits: Limits | None = None) -> Foreseen:
    """Record the first steps of a rule over copies of these weights; proves nothing.

    Raises:
        SourceRejected: the static check refuses the source.
        CannotRunSo: no process can be jailed here.
    """
    limits = limits or Limits()
    ours = copies(groups)
    parameters = parameters_of(ours)
    programs: dict[str, Program] = {}
    process = None
    try:
        process = RecordingProcess(source, ours, limits=limits)
        replay = Replay(parameters, process, bounds_for(parameters, limits))
        replay.build(process.program)
        closure = "float32" if process.requires_closure else None
        loss = torch.ones((), dtype=torch.float32, device="cpu") if closure else None
        generator = torch.Generator().manual_seed(0)
        for step in range(_MOST_STEPS):
            before = replay.recordings
            for each in parameters:
                drawn = torch.randn(each.shape, generator=generator, device="cpu")
                values = drawn.to(each.dtype)
                each.grad = values if each.requires_grad else None
            present = [each.grad is not None for each in parameters]
            name = "first step" if step == 0 else f"step {step + 1}"
            if step in (0, _STEPS - 1):
                programs[name] = replay.foresee(present, closure).program
            replay.step(closure, loss)
            if step >= _STEPS - 1 and replay.recordings == before:
                break
    except (*FAULTS, RuleFailed) as error:
        if isinstance(error, CannotRunSo):
            raise
        return Foreseen({}, in_the_way(error, source))
    finally:
        if process is not None:
            process.close()
    return Foreseen(programs)
