"""How large kernels may be: whoever wrote a program may want them to take hours to
make, or more memory than there is. Without kernels it runs in plain torch."""

from collections.abc import Collection

from dux_sandbox.recorded.kernels.chains import Chain
from dux_sandbox.recorded.kernels.compiler import CannotCompile
from dux_sandbox.recorded.kernels.templates import Call, template_of_link

_MOST_CHAINS = 128
_MOST_PARTS, _MOST_CALLS = 4096, 96
_MOST_WALKED = 2_000_000
_MOST_ARRAYS = 256
"""1 MiB of the stack of a thread at most: a piece of float64 each."""


def require_small(chains: Collection[Chain]) -> None:
    """Refuse the chains of a program of which no rule has so many, or so long ones.

    Raises:
        CannotCompile: that is so.
    """
    if len(chains) > _MOST_CHAINS:
        raise CannotCompile(f"{len(chains)} kernels for one program")
    for chain in chains:
        links = chain.links
        parts = chain.buffers + len(chain.stores) + len(links) + chain.numbers
        calls = sum(isinstance(template_of_link(each), Call) for each in links)
        if parts > _MOST_PARTS or calls > _MOST_CALLS:
            raise CannotCompile(f"a kernel of {len(links)} operations, {calls} calls")


def require_few_walked(values: int) -> None:
    """Refuse a stage whose results are made of so many values, told for each result.

    Raises:
        CannotCompile: that is so.
    """
    if values > _MOST_WALKED:
        raise CannotCompile("a stage of a program with too many results")


def require_few_arrays(arrays: int) -> None:
    """Refuse so many arrays on the stack of a thread.

    Raises:
        CannotCompile: that is so.
    """
    if arrays > _MOST_ARRAYS:
        raise CannotCompile(f"a kernel of {arrays} arrays")
