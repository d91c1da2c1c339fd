"""How large the gradients are that a backward pass left."""

import math

import torch

# Gradients taken under a rule that went astray tell little about the weights that
# are put back; more than this many times the norm at the snapshot is not stepped on.
_STRAY = 10.0


def gradient_norm(parameters: list[torch.Tensor]) -> float | None:
    """Norm of the whole gradient; None where no parameter has one.

    Sparse gradients count with the values they hold. Waits for the device.
    """
    norm = norm_on_device(parameters)
    return None if norm is None else float(norm)


@torch.no_grad()
def norm_on_device(parameters: list[torch.Tensor]) -> torch.Tensor | None:
    """The same as a scalar where the gradients are, float32: nobody waits for it."""
    gradients = []
    for parameter in parameters:
        gradient = parameter.grad
        if gradient is None or not gradient.numel():
            continue
        gradient = gradient.detach()
        gradients.append(
            gradient if gradient.layout is torch.strided else gradient.to_dense()
        )
    if not gradients:
        return None
    norms = torch._foreach_norm(gradients)
    device = norms[0].device
    stacked = torch.stack([norm.to(device, torch.float32) for norm in norms])
    whole: torch.Tensor = torch.linalg.vector_norm(stacked)
    return whole


def gradients_stray(parameters: list[torch.Tensor], usual: float | None) -> bool:
    """Whether the gradient is far larger than `usual`, its norm at the snapshot."""
    norm = gradient_norm(parameters)
    if norm is None:
        return False
    if not math.isfinite(norm):
        return True
    return usual is not None and usual > 0 and norm > _STRAY * usual
