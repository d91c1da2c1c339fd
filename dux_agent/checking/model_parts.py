"""What a user's function returned, read as a model and what it is trained with."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from dux_agent.checking.trying import Trial
from dux_agent.errors import BadArgument

if TYPE_CHECKING:
    from torch import nn

_WANTED = (
    "it must return a model, or (model, objective, batches), with an optimizer among "
    "them if there is one"
)
_MOST_BATCHES = 10
_NAMES = ("model", "optimizer", "objective", "batches")


def trial_of(made: Any) -> Trial:
    """A trial of a model, with or without what it is trained with.

    Args:
        made: a module; or a tuple, or a dict by name, of a model, an objective
            `(model, batch) -> loss`, batches, and an optimizer, in any order.

    Raises:
        BadArgument: something is missing or cannot be told apart.
    """
    import torch

    found = _sorted_out(made)
    model = found.get("model")
    if not isinstance(model, torch.nn.Module):
        raise BadArgument(f"what it returns holds no torch.nn.Module; {_WANTED}.")
    trained = [each for each in model.parameters() if each.requires_grad]
    if not trained:
        raise BadArgument(f"the model has no parameter that is trained; {_WANTED}.")
    if "batches" in found:
        objective, batches = found.get("objective", _usual), _some(found["batches"])
    elif "objective" in found:
        raise BadArgument(f"batches are missing in what it returns; {_WANTED}.")
    else:
        objective, batches = _squared, _drawn(model)
    if isinstance(objective, torch.nn.Module):
        objective = _of_loss(objective)
    if not batches:
        raise BadArgument(f"it returns no batch at all; {_WANTED}.")
    optimizer = found.get("optimizer")
    if optimizer is None:
        optimizer = torch.optim.SGD(trained, lr=0.01)
    trial = Trial(model, optimizer, objective, batches)
    _try_once(trial)
    return trial


def _sorted_out(made: Any) -> dict[str, Any]:
    """What each part is, by its name or by its kind."""
    import torch

    if isinstance(made, torch.nn.Module):
        return {"model": made}
    if isinstance(made, Mapping):
        return {name: made[name] for name in _NAMES if made.get(name) is not None}
    if not isinstance(made, (tuple, list)):
        held = {name: getattr(made, name, None) for name in _NAMES}
        return {name: value for name, value in held.items() if value is not None}
    found: dict[str, Any] = {}
    for part in made:
        if isinstance(part, torch.nn.Module) and "model" not in found:
            name = "model"
        elif isinstance(part, torch.optim.Optimizer):
            name = "optimizer"
        elif callable(part) and not isinstance(part, torch.Tensor):
            name = "batches" if _wants_nothing(part) else "objective"
        else:
            name = "batches"
        if name in found:
            raise BadArgument(f"it returns two things that may be {name}; {_WANTED}.")
        found[name] = part
    return found


def _some(batches: Any) -> list[Any]:
    """The first few batches; of a tensor or a pair of them, that one."""
    import torch

    if callable(batches) and not isinstance(batches, torch.Tensor):
        batches = batches()
    if isinstance(batches, torch.Tensor):
        return [batches]
    if isinstance(batches, tuple) and all(
        isinstance(each, torch.Tensor) for each in batches
    ):
        return [batches]
    if isinstance(batches, Mapping) or not isinstance(batches, Iterable):
        return [batches]
    return [batch for batch, _ in zip(batches, range(_MOST_BATCHES), strict=False)]


def _wants_nothing(function: Any) -> bool:
    """Whether a function is called without arguments, as what makes batches is."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return False
    return not any(each.default is each.empty for each in parameters)


def _of_loss(loss: nn.Module) -> Any:
    """An objective of a loss module, for batches of inputs and targets."""
    return lambda model, batch: loss(model(batch[0]), batch[1])


def _usual(model: Any, batch: Any) -> Any:
    """The loss that inputs and targets are usually trained with."""
    from torch.nn import functional

    if not isinstance(batch, (tuple, list)) or len(batch) != 2:
        return _squared(model, batch)
    out, target = model(batch[0]), batch[1]
    if target.is_floating_point():
        return functional.mse_loss(out, target)
    return functional.cross_entropy(out, target)


def _squared(model: Any, batch: Any) -> Any:
    """The mean square of what a model gives, where nothing else is known of it."""
    out = model(batch)
    for name in ("loss", "logits", "last_hidden_state"):
        out = getattr(out, name, None) if hasattr(out, name) else out
    out = out[0] if isinstance(out, (tuple, list)) else out
    return out.float().square().mean()


def _drawn(model: nn.Module) -> list[Any]:
    """Random inputs as wide as the first layer takes them.

    Raises:
        BadArgument: that cannot be told.
    """
    import torch

    draw = torch.Generator().manual_seed(0)
    example = getattr(model, "example_input_array", None)
    if isinstance(example, torch.Tensor):
        return [example]
    for layer in model.modules():
        if isinstance(layer, torch.nn.Embedding):
            high = layer.num_embeddings
            return [torch.randint(high, (8, 16), generator=draw) for _ in range(4)]
        if isinstance(layer, torch.nn.Linear):
            shape = (16, layer.in_features)
        elif isinstance(layer, torch.nn.Conv1d):
            shape = (8, layer.in_channels, 64)  # type: ignore[assignment]
        elif isinstance(layer, torch.nn.Conv2d):
            shape = (8, layer.in_channels, 32, 32)  # type: ignore[assignment]
        else:
            continue
        return [torch.randn(*shape, generator=draw) for _ in range(4)]
    raise BadArgument(f"what the model takes cannot be told from it; {_WANTED}.")


def _try_once(trial: Trial) -> None:
    """One forward pass on a copy, to tell a model that does not run from a bad rule.

    Raises:
        BadArgument: it raises.
    """
    import torch

    try:
        with torch.random.fork_rng():
            trial.objective(copy.deepcopy(trial.model), trial.batches[0])
    # The user's own code: what it raises is told in one line.
    except Exception as error:
        raise BadArgument(
            f"the objective raised {type(error).__name__} on the first batch: {error}; "
            f"{_WANTED}."
        ) from None
