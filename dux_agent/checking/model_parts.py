"""What a user's function returned, read as a model and what it is trained with."""

from __future__ import annotations

import copy
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
    if not list(model.parameters()):
        raise BadArgument(f"the model has no parameters; {_WANTED}.")
    if ("objective" in found) != ("batches" in found):
        missing = "batches" if "objective" in found else "an objective"
        raise BadArgument(f"{missing} is missing in what it returns; {_WANTED}.")
    if "objective" in found:
        objective, batches = found["objective"], _some(found["batches"])
    else:
        objective, batches = _squared, _drawn(model)
    if not batches:
        raise BadArgument(f"it returns no batch at all; {_WANTED}.")
    optimizer = found.get("optimizer")
    if optimizer is None:
        trained = [each for each in model.parameters() if each.requires_grad]
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
            name = "objective"
        else:
            name = "batches"
        if name in found:
            raise BadArgument(f"it returns two things that may be {name}; {_WANTED}.")
        found[name] = part
    return found


def _some(batches: Any) -> list[Any]:
    """The first few batches; of a tensor or a pair of them, that one."""
    import torch

    if isinstance(batches, torch.Tensor):
        return [batches]
    if isinstance(batches, tuple) and all(
        isinstance(each, torch.Tensor) for each in batches
    ):
        return [batches]
    if isinstance(batches, Mapping) or not isinstance(batches, Iterable):
        return [batches]
    return [batch for batch, _ in zip(batches, range(_MOST_BATCHES), strict=False)]


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
