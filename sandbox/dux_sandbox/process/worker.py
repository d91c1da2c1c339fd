"""What runs in a rule's process, after the jail is locked: one rule, on request."""

import mmap
import os
import socket
from collections.abc import Iterable
from contextlib import suppress
from importlib import import_module
from typing import Any

import torch

from dux_sandbox.closures import ClosurePlace, is_loss, number_of
from dux_sandbox.faults import failure
from dux_sandbox.findings import Finding, RuleFailed, SourceRejected
from dux_sandbox.global_modes import hear
from dux_sandbox.loading import attributes_of, build_over, load, restore_attributes
from dux_sandbox.option_values import as_numbers, of_its_own, one_for_all, shared
from dux_sandbox.process import attempts, jail
from dux_sandbox.process.channel import Channel, ChannelBroken
from dux_sandbox.process.places import Place
from dux_sandbox.process.shown_gradients import ShownGradients
from dux_sandbox.process.whereabouts import tell_when_asked
from dux_sandbox.running import same_options, same_value, without_params
from dux_sandbox.running_rule import entries_by_index
from dux_sandbox.runtime.attributes import RANDOM
from dux_sandbox.runtime.context import Runaway
from dux_sandbox.runtime.kept import KEEP, check_values, require_saveable
from dux_sandbox.runtime.text import plain
from dux_sandbox.stepping import call_step
from dux_sandbox.values import Decoder, ValueRefused, encode

# A thread of torch's pool reserves a stack and an arena of address space.
_THREAD_BYTES = 160 << 20
_SHARE_OF_A_THREAD = 1 << 16  # elements; torch splits at 32768

# By purpose, the module that serves it; each needs what a rule does not.
_APART = {
    "laws": "law_worker",
    **{name: f"{name}_worker" for name in ("plain", "fit", "record")},
}

_REHEARSAL = """
import math
import torch


class Rehearsal(torch.optim.Optimizer):
    def __init__(self, params, lr=1e-3, betas=(0.9, 0.99)):
        super().__init__(params, dict(lr=lr, betas=betas))
        self.t = 0

    @torch.no_grad()
    def step(self, closure=None):
        self.t += 1
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state[p]
                if len(state) == 0:
                    state["m"] = torch.zeros_like(p)
                g = p.grad.clone().detach()
                state["m"].mul_(group["betas"][0]).add_(g, alpha=0.1)
                x = g / (g.norm() + 1e-12)
                x = 1.5 * x - 0.5 * (x @ x.t()) @ x
                values, vectors = torch.linalg.eigh(x @ x.t())
                torch.linalg.qr(x)
                torch.linalg.svd(x)
                torch.linalg.svdvals(x)
                torch._foreach_mul_([g], 0.5)
                torch._foreach_norm([g])
                denominator = (g * g).sqrt().add_(1e-8)
                p.addcdiv_(state["m"], denominator, value=-group["lr"])
                float(torch.where(g > 0, g, -g).sum())
                torch.randn(2, generator=torch.Generator().manual_seed(0))
        return None
"""


def rehearse() -> None:
    """Run a small rule once in this process, so that every lazy path is warm."""
    weight = torch.nn.Parameter(torch.eye(4))
    weight.grad = torch.ones(4, 4)
    rule = load(_REHEARSAL)([{"params": [weight]}])  # type: ignore[call-arg]
    for _ in range(2):
        rule.step()
    rule.zero_grad()
    for name in ("SGD", "Adam", "AdamW", "RMSprop"):
        weight.grad = torch.ones(4, 4)
        getattr(torch.optim, name)([weight]).step()
    blobs: list[bytes | memoryview] = []
    described = encode({"w": weight, "n": (1, 2.5, None)}, blobs)
    Decoder(bytearray(b"".join(blobs))).decode(described)


def serve(request: dict[str, Any], descriptors: list[int]) -> None:
    """Lock this process, then answer the trainer until it goes away.

    Args:
        request: "purpose" ("layers", "rule", "witness", or one that has a module of
            its own), "nonce", and for a rule "mirror" (bytes), "memory" (bytes it may
            add), "threads", and "rehearse" where there is time for it.
            A witness is locked as a rule is, but for layers that "only" leaves out.
        descriptors: the channel's socket, then the mirror's memory.
    """
    channel = Channel(
        socket.socket(fileno=descriptors[0]), bytes.fromhex(request["nonce"])
    )
    tell_when_asked(descriptors[0])
    if request.get("rehearse"):
        rehearse()
    apart = _APART.get(request["purpose"])
    if apart is not None:
        import_module(f"dux_sandbox.process.{apart}").serve(channel, request)
        return
    block = torch.empty(0, dtype=torch.uint8)
    memory = None
    if request["purpose"] in ("rule", "witness"):
        shared = mmap.mmap(descriptors[1], request["mirror"])
        os.close(descriptors[1])
        block = torch.frombuffer(shared, dtype=torch.uint8)
        memory = request["memory"] + request["threads"] * _THREAD_BYTES
    around = None
    if request["purpose"] == "witness":
        around = attempts.prepare(request, descriptors[0])
    layers = jail.lock(
        memory,
        lambda: start_threads(request.get("threads", 1)),
        only=request.get("only"),
        parent=request["parent"],
    )
    channel.send({"layers": jail.rows_of(layers)})
    if around is not None:
        channel.send({"attempts": attempts.make(around)})
        with suppress(ChannelBroken):
            channel.receive(None)  # there is nothing more to do but to be there
    if request["purpose"] != "rule":
        return
    server = _Server(channel, block)
    for message, blob in channel.questions():
        server.answer(message, blob)


def start_threads(count: int) -> None:
    """Start torch's team of threads: after the jail is locked none can be."""
    torch.set_num_threads(count)
    # Large enough that every thread gets a share of it.
    torch.zeros(count * _SHARE_OF_A_THREAD).add_(1.0)


class _Server:
    def __init__(self, channel: Channel, block: torch.Tensor) -> None:
        self._channel = channel
        self._block = block
        self._parameters: list[torch.Tensor] = []
        self._gradients = ShownGradients(block)
        self._rule: Any = None
        self._told: list[dict[str, Any]] = []
        self._number = 0
        self._undrawn = torch.empty(0)
        self._stopped: Finding | None = None  # the closure raised in this step

    def answer(self, message: dict[str, Any], blob: bytearray) -> None:
        """Carry out one request; a fault of the rule becomes an "error" answer."""
        self._number = message["id"]
        blobs: list[bytes | memoryview] = []
        try:
            reply = getattr(self, f"_do_{message['op']}")(message, blob, blobs)
        except RuleFailed as error:
            reply, blobs = {"error": error.finding.as_dict()}, []
        except SourceRejected as error:
            reply, blobs = {"refused": error.report.as_dict()}, []
        except MemoryError:
            reply, blobs = {"error": _memory_finding().as_dict()}, []
        # Generated code: whatever it raises is a finding.
        except (Exception, Runaway) as error:
            reply, blobs = {"error": _finding_of(error).as_dict()}, []
        reply["id"] = self._number
        self._channel.send(reply, blobs)

    def _do_build(self, message: dict[str, Any], _: bytearray, __: Any) -> Any:
        torch.manual_seed(message["seed"])
        self._undrawn = torch.get_rng_state()
        for row in message["places"]:
            place = Place.of(row)
            values = place.values(self._block)
            self._parameters.append(torch.nn.Parameter(values, requires_grad=False))
            self._gradients.add(self._parameters[-1], place)
        self._hear(message)
        rule_class = load(message["source"])
        groups = [
            {"params": [self._parameters[index] for index in indices]}
            for indices in message["groups"]
        ]
        self._rule = build_over(rule_class, groups)
        check_values(self._rule)
        groups = self._rule.param_groups
        options = [as_numbers(without_params(group)) for group in groups]
        self._told = [of_its_own(group) for group in options]
        return {
            "defaults": encode(as_numbers(self._rule.defaults), []),
            "options": encode(options, []),
            "carry": bool(rule_class.carry),  # type: ignore[attr-defined]
            "requires_closure": bool(rule_class.requires_closure),  # type: ignore[attr-defined]
            "takes_closure": rule_class.dux_closure is not ClosurePlace.NOWHERE,  # type: ignore[attr-defined]
        }

    def _do_step(self, message: dict[str, Any], _: bytearray, __: Any) -> Any:
        closure = self._ask if message.get("closure") else None
        self._gradients.apart |= closure is not None
        self._hear(message)
        self._stopped = None
        loss = call_step(self._rule, closure)
        reply: dict[str, Any] = {}
        if is_loss(loss):  # what else a step returns, as a dict, is nobody's here
            reply["loss"] = encode(number_of(loss), [])
        changed = self._changed_options()
        if changed:
            reply["options"] = changed
        return reply | self._gradients.told_after(self._rule)

    def _do_snapshot(self, _: Any, __: bytearray, blobs: list[Any]) -> Any:
        return self._learned(blobs)

    def _do_describe(self, _: Any, __: bytearray, ___: list[Any]) -> Any:
        self._learned(None)
        return {}

    def _learned(self, blobs: list[Any] | None) -> dict[str, Any]:
        require_saveable(self._rule)
        state = entries_by_index(self._rule.state, self._parameters)
        attributes = attributes_of(self._rule)
        random = torch.get_rng_state()
        if not torch.equal(random, self._undrawn):
            attributes[RANDOM] = random
        return {
            "state": encode(state, blobs),
            "attributes": encode(attributes, blobs),
        }

    def _do_restore(self, message: dict[str, Any], blob: bytearray, _: Any) -> Any:
        decoder = Decoder(blob)
        state = decoder.decode(message["state"])
        attributes = decoder.decode(message["attributes"])
        self._rule.state.clear()
        for index, entry in state.items():
            self._rule.state[self._parameters[index]] = entry
        restore_attributes(self._rule, attributes)
        torch.set_rng_state(attributes.get(RANDOM, self._undrawn))
        return {}

    def _hear(self, message: dict[str, Any]) -> None:
        """Take over what has changed on the trainer's side since the last message."""
        if "modes" in message:
            hear(message["modes"])
        for index, row in message.get("moved", ()):
            self._gradients.move(index, Place.of(row))
        for index, trainable in enumerate(message.get("trainable", ())):
            self._parameters[index].requires_grad_(trainable)
        self._gradients.show(message)
        if "options" in message:
            with one_for_all(self._rule.param_groups):
                self._hear_options(message["options"])

    def _hear_options(self, changes: Iterable[Any]) -> None:
        for index, described in changes:
            values = Decoder(bytearray()).decode(described)
            group = self._rule.param_groups[index]
            kept = set(group) - set(shared(group))
            # What was never told is the rule's alone.
            for name in self._told[index]:
                if name not in values and name not in kept:
                    group.pop(name, None)
            # What is as it was stays the rule's own list or dict, which groups share.
            group.update(
                {
                    name: value
                    for name, value in values.items()
                    if name not in kept
                    and not same_value(of_its_own(group.get(name, self)), value)
                }
            )
            self._told[index] = of_its_own(values)

    def _changed_options(self) -> list[Any]:
        changed = []
        for index, group in enumerate(self._rule.param_groups):
            if index >= len(self._told):
                break
            now = as_numbers(without_params(group), self._told[index])
            if not same_options(now, self._told[index]):
                changed.append([index, encode(now, [])])
                self._told[index] = of_its_own(now)
        return changed

    def _ask(self) -> torch.Tensor | None:
        """The closure, as the rule sees it: one round trip to the trainer.

        None where the trainer's own returns nothing that is a loss.
        """
        if self._stopped is not None:
            raise RuleFailed(self._stopped)
        asked = {"id": self._number, "call": "closure", **self._gradients.told()}
        self._channel.send(asked)
        message, _ = self._channel.receive(None)
        self._hear(message)
        if "stop" in message:
            self._stopped = Finding(*message["stop"])
            raise RuleFailed(self._stopped)
        loss = Decoder(bytearray()).decode(message["loss"])
        if loss is None:
            return None
        return torch.tensor(loss, dtype=getattr(torch, message["dtype"]))


def _memory_finding() -> Finding:
    return Finding(
        "memory",
        None,
        "the rule asked for more memory than it may use",
        "keep at most a few tensors of each parameter's shape",
    )


def _finding_of(error: BaseException) -> Finding:
    text = plain(error)[:300]
    if isinstance(error, RuntimeError) and "allocate memory" in text:
        return _memory_finding()
    if isinstance(error, ValueRefused):
        return Finding("state", None, text, KEEP)
    return failure(error).finding
