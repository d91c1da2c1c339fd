"""What the guard puts back, bit for bit: parameters, buffers, random numbers."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch

from dux_sandbox.dry_runs.scratch import out_of_memory
from dux_sandbox.gradients import shares_itself
from dux_sandbox.random_state import RandomState
from dux_sandbox.running import ParamGroups, parameters_of
from dux_sandbox.shards import is_sharded, reshard

log = logging.getLogger(__name__)

Copy = TypeVar("Copy")
NEWER = "a newer snapshot beside the one that is kept"


def clones(tensors: list[torch.Tensor], *, host: bool = False) -> list[torch.Tensor]:
    """Detached copies that keep shape, strides and dtype.

    Args:
        tensors: to copy.
        host: into the memory of the CPU; else each on its own device.
    """
    return [clone(tensor, host) for tensor in tensors]


def clone(tensor: torch.Tensor, host: bool) -> torch.Tensor:
    """One of `clones`; of a CUDA device in pinned memory, which it writes to itself."""
    plain = tensor.detach()
    if not host:
        return plain.clone()
    if not plain.is_cuda or is_sharded(plain) or plain.layout is not torch.strided:
        return plain.to("cpu", copy=True)
    pinned = torch.empty_like(plain, device="cpu", pin_memory=True)
    return pinned.copy_(plain)


def unless_crowded(take: Callable[[], Copy], purpose: str) -> Copy | None:
    """What `take` copies; None, and a warning, where there is no memory for it.

    Args:
        purpose: what the training goes on without, for the log.
    """
    try:
        return take()
    except (MemoryError, RuntimeError) as error:
        if not out_of_memory(error):
            raise
    log.warning("there is no memory for %s; the training goes on without", purpose)
    return None


@torch.no_grad()
def write_back(targets: list[torch.Tensor], values: list[torch.Tensor]) -> None:
    """Copy `values` into `targets` in place, pair by pair, bit for bit.

    A target that has another shape by now is its owner's business and stays.
    """
    for target, value in zip(targets, values, strict=True):
        if target.shape == value.shape:
            target.detach().copy_(value)


@dataclass(frozen=True)
class _Buffer:
    """A copy of one buffer, and where it belongs."""

    module: torch.nn.Module
    name: str
    value: torch.Tensor
    device: torch.device


class Buffers:
    """The buffers of a model, also those that no `state_dict` holds.

    Attributes:
        model: whose they are; None: there is none.
    """

    def __init__(self, model: torch.nn.Module | None, *, host: bool = False) -> None:
        self.model = model
        self._held = {
            path: _Buffer(module, name, clone(value, host), value.device)
            for path, module, name, value in _buffers_of(model)
        }

    def values(self) -> list[torch.Tensor]:
        """The copies, in the order of the model's buffers."""
        return [buffer.value for buffer in self._held.values()]

    def live(self) -> list[torch.Tensor]:
        """The buffers of the model themselves."""
        return [value for _, _, _, value in _buffers_of(self.model)]

    def named(self) -> dict[str, torch.Tensor]:
        """The copies by path, as `layers.0.running_mean`."""
        return {path: buffer.value for path, buffer in self._held.items()}

    def take_over(self, values: Mapping[str, torch.Tensor] | list[Any]) -> None:
        """From now on these are what is put back.

        Args:
            values: what `named` gave, of a model that may have made more buffers on
                its way than this one has, or fewer; or a list in the order of the
                model's buffers, as older checkpoints hold it.

        Raises:
            ValueError: they are of another model.
        """
        if not isinstance(values, Mapping):
            values = dict(zip(self._held, values, strict=True))
        self._held = {path: self._placed(path, value) for path, value in values.items()}

    def _placed(self, path: str, value: torch.Tensor) -> _Buffer:
        here = self._held.get(path)
        if here is not None:
            return _Buffer(here.module, here.name, value, here.device)
        prefix, _, name = path.rpartition(".")
        modules = {} if self.model is None else dict(self.model.named_modules())
        if prefix not in modules:
            raise ValueError(f"a snapshot of a model with a buffer {path!r}")
        return _Buffer(modules[prefix], name, value, value.device)

    def restore(self) -> None:
        """Put the values back, in place where the tensor is still of that shape."""
        for buffer in self._held.values():
            now, value = buffer.module._buffers.get(buffer.name), buffer.value
            make = (value.shape, value.dtype)
            if now is not None and (now.shape, now.dtype) == make:
                with torch.no_grad():
                    now.copy_(value)
            else:
                buffer.module._buffers[buffer.name] = value.to(buffer.device, copy=True)


def _buffers_of(
    model: torch.nn.Module | None,
) -> Iterator[tuple[str, torch.nn.Module, str, torch.Tensor]]:
    for prefix, module in model.named_modules() if model is not None else ():
        for name, value in module._buffers.items():
            if value is not None:
                yield f"{prefix}.{name}" if prefix else name, module, name, value


@dataclass
class Snapshot:
    """A model and the random numbers at one moment.

    Attributes:
        step: steps the rule had taken when it was made.
        values: clones of the parameters, in the order of the groups.
        buffers: clones of all buffers.
        random: every global generator.
    """

    step: int
    parameters: list[torch.Tensor]
    values: list[torch.Tensor]
    buffers: Buffers
    random: RandomState
    healthy: int = field(default=0)

    @classmethod
    def take(
        cls,
        groups: ParamGroups,
        model: torch.nn.Module | None,
        step: int = 0,
        *,
        host: bool = False,
    ) -> Snapshot:
        """Clone everything now: the model once, in the CPU's memory if `host`."""
        parameters = parameters_of(groups)
        values, buffers = clones(parameters, host=host), Buffers(model, host=host)
        return cls(step, parameters, values, buffers, RandomState.take())

    def state_dict(self) -> dict[str, Any]:
        """Plain data and the tensors themselves, which nobody changes."""
        return {
            "step": self.step,
            "healthy": self.healthy,
            "values": list(self.values),
            "buffers": self.buffers.named(),
            "random": self.random.state_dict(),
        }

    @classmethod
    def of(
        cls,
        state: Mapping[str, Any],
        parameters: list[torch.Tensor],
        model: torch.nn.Module | None,
        *,
        host: bool = False,
    ) -> Snapshot:
        """The one that `state_dict` gave, of the same model in this process.

        Raises:
            ValueError: it is of parameters or buffers of another make.
        """
        makes = [(tuple(each.shape), each.dtype) for each in state["values"]]
        if makes != [(tuple(each.shape), each.dtype) for each in parameters]:
            raise ValueError("a snapshot of other parameters than these")
        values = [
            value.cpu() if host else value.to(parameter.device)
            for value, parameter in zip(state["values"], parameters, strict=True)
        ]
        buffers = Buffers(model, host=host)
        buffers.take_over(state["buffers"])
        # Before "random" there was, torch's states lay beside the tensors.
        random = RandomState.of(state.get("random", state))
        step, healthy = int(state["step"]), int(state["healthy"])
        return cls(step, parameters, values, buffers, random, healthy)

    def fits(self) -> bool:
        """Whether the parameters still have the shapes and dtypes of the copies."""
        return all(
            (p.shape, p.dtype) == (value.shape, value.dtype)
            for p, value in zip(self.parameters, self.values, strict=True)
        )

    def restore(self, *, only_parameters: bool = False, random: bool = True) -> None:
        """Put everything back, bit for bit, into the same tensors.

        Args:
            only_parameters: leave the buffers and the random numbers.
            random: put the random numbers back too.
        """
        write_back(self.parameters, self.values)
        if self.buffers.model is not None:
            reshard(self.buffers.model)
        if only_parameters:
            return
        self.buffers.restore()
        if random:
            self.random.restore()


class BeforeStep:
    """What one step of a rule may have touched beside the parameters.

    Taken before a rule's first step after a snapshot: when that very step fails, the
    predecessor takes it from exactly here, and the run goes on as if the rule had
    never been.
    """

    def __init__(
        self,
        parameters: list[torch.Tensor],
        model: torch.nn.Module | None,
        *,
        host: bool = False,
    ) -> None:
        """Clone gradients, buffers and the generators' states."""
        self._parameters = parameters
        self._gradients = [
            None if p.grad is None else clone(p.grad, host) for p in parameters
        ]
        self._buffers = Buffers(model, host=host)
        self._random = RandomState.take()

    @torch.no_grad()
    def restore(self) -> None:
        """Put gradients, buffers and random numbers back."""
        for parameter, gradient in zip(self._parameters, self._gradients, strict=True):
            now = parameter.grad
            if gradient is None:
                parameter.grad = None
            elif now is not None and now.layout == gradient.layout and _writable(now):
                now.copy_(gradient)
            elif now is None or not _is_as(gradient, now):  # a NaN makes it another one
                parameter.grad = gradient.to(parameter.device, copy=True)
        self._buffers.restore()
        self._random.restore()


def _writable(gradient: torch.Tensor) -> bool:
    return gradient.layout is not torch.strided or not shares_itself(gradient)


def _is_as(gradient: torch.Tensor, now: torch.Tensor) -> bool:
    alike = (now.dtype, now.layout) == (gradient.dtype, gradient.layout)
    return alike and torch.equal(now, gradient.to(now.device))
