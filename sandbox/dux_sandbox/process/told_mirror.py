"""What is kept the same on both sides of the wall: the mirror, torch's switches."""

from collections.abc import Sequence
from typing import Any

import torch
from torch.multiprocessing.reductions import StorageWeakRef

from dux_sandbox.global_modes import tell
from dux_sandbox.process.mirror import Mirror
from dux_sandbox.process.reported import indices_of


class ToldMirror:
    """A mirror, and what the child was told of it last."""

    def __init__(self, mirror: Mirror) -> None:
        """The child knows the places of `mirror` as they are now, and nothing else."""
        self.mirror = mirror
        self._told: dict[str, Any] = {}
        self._known: KnownGradients | None = None

    def news(self) -> dict[str, Any]:
        """Fill the mirror; what has changed since the last call, for the child.

        Returns:
            Those of "moved" (`[index, place]` of parameters that lie elsewhere in the
            mirror), "present" and "trainable" (for each parameter, whether it has a
            gradient and whether it wants one) and "modes" (torch's switches) that are
            another now; of a rule that is shown its gradients apart, "renewed" as well
            (whether it is another one).

        Raises:
            ValueRefused: a parameter or gradient is of a make that nothing fits.
        """
        news: dict[str, Any] = {}
        moved = self.mirror.follow()
        if moved:
            news["moved"] = moved
        flags: dict[str, Any] = {
            "modes": tell(),
            "present": self.mirror.copy_in(),
            "trainable": [each.requires_grad for each in self.mirror.parameters],
        }
        if self._known is not None:
            flags["renewed"] = self._known.renewed(self.mirror.parameters)
        for name, values in flags.items():
            if self._told.get(name) != values:
                news[name] = self._told[name] = values
        return news

    def take(self, written: Any, apart: bool) -> None:
        """Copy the parameters out, and the gradients that the rule has written to.

        Args:
            written: indices of these gradients, as the child gives them.
            apart: whether the child has gradients of its own; see `ShownGradients`.

        Raises:
            ValueRefused: they are malformed; nothing was copied.
        """
        indices = indices_of(written, self.mirror.parameters)
        self.mirror.copy_out()
        self.mirror.copy_gradients_out(indices)
        if apart and self._known is None:
            self._known = KnownGradients(self.mirror.parameters)


class KnownGradients:
    """Which memory the gradients of some parameters lay in when they were last shown.

    What is asked is whether somebody who kept the old ones would have the new numbers:
    where the same memory was filled again, by whatever tensor.
    """

    def __init__(self, parameters: Sequence[torch.Tensor]) -> None:
        """Note where they lie now."""
        self._lay: list[tuple[StorageWeakRef, int] | None] = [None] * len(parameters)
        self.renewed(parameters)

    def renewed(self, parameters: Sequence[torch.Tensor]) -> list[bool]:
        """For each of them, whether its gradient is in other memory than at the last
        call; one that is absent leaves that as it was."""
        renewed = []
        for index, parameter in enumerate(parameters):
            gradient, lay = parameter.grad, self._lay[index]
            if gradient is None:
                renewed.append(False)
            elif (
                type(gradient) is not torch.Tensor
                or gradient.layout is not torch.strided
            ):
                self._lay[index] = None
                renewed.append(True)
            else:
                at, storage = gradient.data_ptr(), gradient.untyped_storage()
                # Memory that was let go of is soon somebody else's, at the same place.
                kept = lay is not None and not lay[0].expired() and lay[1] == at
                if not kept:
                    self._lay[index] = StorageWeakRef(storage), at
                renewed.append(not kept)
        return renewed
