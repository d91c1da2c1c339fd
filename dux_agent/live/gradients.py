"""How large the gradients are that a backward pass left."""

import math

import torch

from dux_sandbox.shards import held_by, is_sharded, own_part

# Gradients taken under a rule that went astray tell little about the weights that
# are put back; more than this many times the norm at the snapshot is not stepped on.
_STRAY = 10.0


def gradient_norm(parameters: list[torch.Tensor]) -> float | None:
    """Norm of the whole gradient; None where no parameter has one.

    Sparse gradients count with the values they hold. Waits for the device.
    """
    norm = norm_on_device(parameters)
    return None if norm is None else float(norm)


def norm_on_device(parameters: list[torch.Tensor]) -> torch.Tensor | None:
    """The same as a scalar where the gradients are, float32: nobody waits for it."""
    found = []
    plain = True  # whole, in memory of their own, and no graph behind them
    for parameter in parameters:
        gradient = parameter.grad
        if gradient is not None and gradient.numel():
            found.append(gradient)
            own = type(gradient) is torch.Tensor and gradient.layout is torch.strided
            plain = plain and own and not gradient.requires_grad
    if not found:
        return None
    norms = torch._foreach_norm(found if plain else [_values(each) for each in found])
    device = norms[0].device
    stacked = torch.stack([norm.to(device, torch.float32) for norm in norms])
    if not plain and any(map(is_sharded, found)):
        return _over_ranks(stacked, found)
    # The kernel of above once more: any other would have to come into the caches first.
    whole: torch.Tensor = torch._foreach_norm([stacked])[0]
    return whole


def _values(gradient: torch.Tensor) -> torch.Tensor:
    """What this rank holds of it, as a dense tensor."""
    gradient = gradient.detach()
    dense = gradient if gradient.layout is torch.strided else gradient.to_dense()
    return own_part(dense)


def _over_ranks(norms: torch.Tensor, found: list[torch.Tensor]) -> torch.Tensor:
    """The norm of gradients of which some are sharded; all ranks hold the others."""
    ranks = torch.distributed.get_world_size()
    copies = [held_by(each) if is_sharded(each) else ranks for each in found]
    squares = (norms.square() / torch.tensor(copies, device=norms.device)).sum()
    torch.distributed.all_reduce(squares)
    return squares.sqrt()


def gradients_stray(parameters: list[torch.Tensor], usual: float | None) -> bool:
    """Whether the gradient is far larger than `usual`, its norm at the snapshot."""
    norm = gradient_norm(parameters)
    if norm is None:
        return False
    if not math.isfinite(norm):
        return True
    return usual is not None and usual > 0 and norm > _STRAY * usual
