"""What a rule must leave alone: the make of the parameters, and hooks.

Read before a step and after it; only what changed in between is the rule's doing,
so a loop that freezes a layer or sets a thread count between steps is free to, and so
is its closure in the middle of one.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch.nn.modules import module as torch_module

from dux_sandbox.running_rule import RunningRule
from dux_sandbox.shards import own_part

ParamGroups = list[dict[str, Any]]
Closure = Callable[[], Any]


_HOOK_TABLES = (
    *("_global_forward_hooks", "_global_forward_pre_hooks", "_global_backward_hooks"),
    *("_global_backward_pre_hooks", "_global_buffer_registration_hooks"),
    *("_global_module_registration_hooks", "_global_parameter_registration_hooks"),
)
_MODULE_TABLES = (
    *("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks"),
)


class Hooks:
    """Which hooks hang on parameters, on all modules and on one model's modules."""

    def __init__(
        self,
        parameters: list[torch.Tensor],
        model: torch.nn.Module | None,
        within_reach: bool = True,
    ) -> None:
        """Take stock; of nothing where the rule is not `within_reach` of hooks."""
        if not within_reach:
            parameters, model = [], None
        self._tables: list[Any] = [
            getattr(torch_module, name)
            for name in _HOOK_TABLES
            if within_reach and hasattr(torch_module, name)
        ]
        for module in model.modules() if model is not None else ():
            self._tables.extend(getattr(module, name) for name in _MODULE_TABLES)
        self._sizes = [len(table) for table in self._tables]
        self._keys = [tuple(table) if table else () for table in self._tables]
        self._parameters = parameters
        self._on_parameters = [_hooks_on(parameter) for parameter in parameters]

    def changed(self) -> str | None:
        """A sentence when a hook came or went, else None."""
        if self._sizes != [len(table) for table in self._tables]:
            return "the step registered or removed a module hook"
        if self._on_parameters != [_hooks_on(p) for p in self._parameters]:
            return "the step registered or removed a hook on a parameter"
        return None

    def restore(self) -> None:
        """Take off the hooks that were not there; a removed one cannot come back."""
        for table, keys in zip(self._tables, self._keys, strict=True):
            for key in [key for key in table if key not in keys]:
                del table[key]
        pairs = zip(self._parameters, self._on_parameters, strict=True)
        for parameter, (backward, accumulate) in pairs:
            if not backward and parameter._backward_hooks:
                parameter._backward_hooks.clear()
            hooks = getattr(parameter, "_post_accumulate_grad_hooks", None)
            if not accumulate and hooks:
                hooks.clear()


def _hooks_on(parameter: torch.Tensor) -> tuple[int, int]:
    accumulate = getattr(parameter, "_post_accumulate_grad_hooks", None)
    return len(parameter._backward_hooks or ()), len(accumulate or ())


class Makes:
    """Identity, memory, shape, dtype and `requires_grad` of every parameter."""

    def __init__(self, groups: ParamGroups) -> None:
        self._groups = groups
        self._found: str | None = None
        self.renew()

    def renew(self) -> None:
        """From now on the parameters as they are now are what must stay."""
        self._lists = [list(group["params"]) for group in self._groups]
        parameters = [p for parameters in self._lists for p in parameters]
        # Aliases of the memory: restoring a swapped `.data` needs the old one.
        self._held = [(p, _make(p), p.data) for p in parameters]

    def follow(self, model: torch.nn.Module | None = None) -> str | None:
        """Take over what the loop has changed since the last step.

        A parameter may lie in other memory, be frozen or unfrozen. No rule's state can
        follow to another shape, dtype or device, or to other parameters in the groups.

        Args:
            model: names its parameters; without one they are numbered.

        Returns:
            What cannot be followed, without a capital and a stop, or None.
        """
        if self.changed() is None:
            return None
        reason = self._outgrown(model)
        if reason is None:
            self.renew()
        return reason

    def _outgrown(self, model: torch.nn.Module | None) -> str | None:
        if self._regrouped():
            return "the loop put other parameters into the optimizer's groups"
        for index, (parameter, _, alias) in enumerate(self._held):
            for before, now in zip(_kind(alias), _kind(parameter), strict=True):
                if before != now:
                    name = _name_of(parameter, model) or str(index)
                    return (
                        f"the loop changed parameter {name} from {_words(before)} to "
                        f"{_words(now)}, which nothing that the rule has learned fits"
                    )
        return None

    def changed(self) -> str | None:
        """What is no longer as it was, as a sentence, or None."""
        if self._found is not None:
            return self._found
        if len(self._groups) != len(self._lists):
            return "the step changed the number of parameter groups"
        if self._regrouped():
            return "the step changed which parameters a group holds"
        for index, (parameter, make, _) in enumerate(self._held):
            if _make(parameter) != make:
                return (
                    f"the step changed the memory, shape, dtype or requires_grad of "
                    f"parameter {index}"
                )
        return None

    def around(self, closure: Closure) -> Closure:
        """The loop's closure as a rule may call it: what it changes is the loop's."""

        def call() -> Any:
            self._found = self.changed()
            try:
                return closure()
            finally:
                if self._found is None:
                    self.renew()

        return call

    def _regrouped(self) -> bool:
        if len(self._groups) != len(self._lists):
            return True
        for group, before in zip(self._groups, self._lists, strict=True):
            now = group.get("params")
            if type(now) is not list or list(map(id, now)) != list(map(id, before)):
                return True
        return False

    def restore(self) -> None:
        """Put the parameter lists and the old memory back; values are another's."""
        self._found = None
        del self._groups[len(self._lists) :]
        for group, before in zip(self._groups, self._lists, strict=False):
            group["params"] = list(before)
        for parameter, make, alias in self._held:
            if _make(parameter) != make:
                parameter.data = alias
                parameter.requires_grad_(make[1])


def _make(parameter: torch.Tensor) -> tuple[int, bool, torch.Size, torch.dtype]:
    # Sparse and opaque layouts have no one place in memory.
    pointer = parameter.data_ptr() if parameter.layout is torch.strided else 0
    return pointer, parameter.requires_grad, parameter.shape, parameter.dtype


def _kind(tensor: torch.Tensor) -> tuple[Any, ...]:
    """What the state of a rule has to fit."""
    return tensor.shape, tensor.dtype, tensor.device, tensor.layout


def _words(value: Any) -> str:
    return f"shape {tuple(value)}" if isinstance(value, torch.Size) else str(value)


def _name_of(parameter: torch.Tensor, model: torch.nn.Module | None) -> str | None:
    named = () if model is None else model.named_parameters()
    return next((name for name, one in named if one is parameter), None)


def left_finite(rule: RunningRule, parameters: list[torch.Tensor]) -> torch.Tensor:
    """Whether the step that a rule took last left every parameter finite.

    The kernels of a recorded rule tell, and spare a pass over the weights.

    Returns:
        One truth of no dimensions, where the parameters are: nobody waits for it.
    """
    told: bool | torch.Tensor | None = getattr(rule, "left_finite", None)
    if isinstance(told, bool):
        return torch.tensor(told, device="cpu")
    return finite_on_device(parameters) if told is None else told


def all_finite(parameters: list[torch.Tensor]) -> bool:
    """Whether every parameter that is here is finite; a device is waited for."""
    return bool(finite_on_device(parameters))


@torch.no_grad()
def finite_on_device(parameters: list[torch.Tensor]) -> torch.Tensor:
    """Whether every value of every parameter that is here is a finite number.

    One norm a tensor and one look at their sum: 26 % of a fused step at 94k weights.
    A norm that overflows counts as not finite: such a model is lost too.

    Returns:
        One truth of no dimensions, on the device of the first parameter.
    """
    numbers = [
        own_part(p.detach())
        for p in parameters
        if p.numel() and (p.is_floating_point() or p.is_complex())
    ]
    if not numbers:
        return torch.tensor(True, device="cpu")
    # float16 norms overflow at 65504, which sound weights can reach together.
    wide = [p.float() if p.dtype.itemsize < 4 else p for p in numbers]
    norms = torch._foreach_norm(wide)
    device = norms[0].device
    total = sum(norm.to(device=device, dtype=torch.float64).real for norm in norms)
    return torch.isfinite(torch.as_tensor(total, device=device))
