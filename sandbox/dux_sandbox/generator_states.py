"""States of torch's generators that somebody hands in."""

import struct

import torch

_TOLD = struct.Struct("<iiQ")
_WORDS = 624
"""Of a Mersenne twister, after which it makes new ones."""


def generator_in(
    state: torch.Tensor, device: torch.device | str = "cpu"
) -> torch.Generator:
    """A generator of its own in a state.

    torch reads the next word where the state says, and as many as it says are left,
    whether they are the generator's or what lies behind it in memory.

    Raises:
        ValueError: no generator is ever in it.
        RuntimeError, TypeError: it is no state at all.
    """
    generator = torch.Generator(device)
    generator.set_state(state)
    if generator.device.type == "cpu":
        told = bytes(generator.get_state()[8:24].tolist())
        left, _, place = _TOLD.unpack(told)
        if left + place > _WORDS + 1:
            raise ValueError("no generator was in this state")
    return generator
