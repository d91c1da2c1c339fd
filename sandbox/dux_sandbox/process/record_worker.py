"""What runs in the process that records a rule, after the jail is locked."""

from typing import Any

import torch

from dux_sandbox.closures import ClosurePlace
from dux_sandbox.faults import failure
from dux_sandbox.findings import RuleFailed, SourceRejected
from dux_sandbox.global_modes import set_default_dtype
from dux_sandbox.option_values import as_numbers, check_options
from dux_sandbox.process import jail
from dux_sandbox.process.channel import Channel
from dux_sandbox.recorded.json_form import as_json
from dux_sandbox.recorded.program import TensorType
from dux_sandbox.recorded.recorder import Recorder, Recording
from dux_sandbox.recorded.session import Kept, Shown
from dux_sandbox.recorded.tape import Unrecordable
from dux_sandbox.running import without_params
from dux_sandbox.runtime.context import Runaway
from dux_sandbox.values import Decoder, encode

_REHEARSAL = """
import math
import torch


class Rehearsal(torch.optim.Optimizer):
    def __init__(self, params):
        super().__init__(params, {})

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                state = self.state[p]
                if len(state) == 0:
                    state["m"] = torch.zeros_like(p)
                g = p.grad * min(1.0, 1.0 / math.sqrt(float(p.grad.pow(2).sum())))
                state["m"].mul_(0.9).add_(g, alpha=0.1)
                x = g / (g.norm() + 1e-12)
                x = 1.5 * x - 0.5 * (x @ x.t()) @ x
                torch.linalg.eigh(x @ x.t())
                torch._foreach_mul_([g], 0.5)
                g = g.clamp(max=torch.quantile(g.abs(), 0.9))
                p[p > 0.5] = 0.5
                p.addcdiv_(state["m"], g.square().sqrt().add_(1e-8), value=-0.1)
"""


def rehearse() -> None:
    """Record a small rule once, so that every lazy path is warm."""
    recorder = Recorder(
        _REHEARSAL, [Shown(TensorType("float32", (4, 4)), (4, 1))], [[0]]
    )
    recorder.build()
    recorder.step(Kept([], []), [True])
    as_json(recorder.build().program)


def serve(channel: Channel, request: dict[str, Any]) -> None:
    """Lock this process, then record what the trainer asks for until it goes away.

    Args:
        channel: to the trainer.
        request: "memory", bytes that the process may add.
    """
    torch.set_num_threads(1)
    layers = jail.lock(request["memory"], parent=request["parent"])
    channel.send({"layers": jail.rows_of(layers)})
    server = _Server()
    for message, _ in channel.questions():
        reply = server.answer(message)
        reply["id"] = message["id"]
        channel.send(reply)


class _Server:
    def __init__(self) -> None:
        self._recorder: Any = None

    def answer(self, message: dict[str, Any]) -> dict[str, Any]:
        """Carry out one request; what goes wrong is an answer, too."""
        try:
            operation = getattr(self, f"_do_{message['op']}")
            reply: dict[str, Any] = operation(message)
        except Unrecordable as error:
            return {"unrecordable": [error.message, error.line]}
        except SourceRejected as error:
            return {"refused": error.report.as_dict()}
        except RuleFailed as error:
            return {"error": error.finding.as_dict()}
        # Generated code: whatever it raises is a finding.
        except (Exception, Runaway) as error:
            return {"error": failure(error).finding.as_dict()}
        return reply

    def _do_build(self, message: dict[str, Any]) -> dict[str, Any]:
        # Of torch's switches the one that types hang on; the trainer computes itself.
        set_default_dtype(message["dtype"])
        shown = [
            Shown(TensorType(dtype, tuple(shape)), tuple(strides), trainable)
            for dtype, shape, strides, trainable in message["shown"]
        ]
        self._recorder = Recorder(
            message["source"],
            shown,
            message["groups"],
            message["device"],
            message["seed"],
        )
        recording = self._recorder.build()
        kind, rule = self._recorder.kind, self._recorder.rule
        options = [as_numbers(without_params(group)) for group in rule.param_groups]
        for each in options:
            check_options(each)
        return {
            **_said(recording),
            "defaults": encode(as_numbers(rule.defaults), []),
            "options": encode(options, []),
            "carry": bool(kind.carry),
            "requires_closure": bool(kind.requires_closure),
            "takes_closure": kind.dux_closure is not ClosurePlace.NOWHERE,
        }

    def _do_step(self, message: dict[str, Any]) -> dict[str, Any]:
        leaves = [
            (
                tuple(place),
                kind if isinstance(kind, str) else TensorType(kind[0], tuple(kind[1])),
                Decoder(bytearray()).decode(number),
            )
            for place, kind, number in message["leaves"]
        ]
        kept = Kept(message["skeleton"], leaves)
        present, outcomes = message["present"], message["outcomes"]
        closure, merge = message["closure"], message["merge"]
        recorder = self._recorder
        return _said(recorder.step(kept, present, outcomes, closure, merge=merge))


def _said(recording: Recording) -> dict[str, Any]:
    return {"program": as_json(recording.program), "calls": recording.calls}
