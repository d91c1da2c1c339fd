"""The mirror of the parameters, kept the same on both sides of the wall."""

from typing import Any

from dux_sandbox.process.mirror import Mirror
from dux_sandbox.process.reported import indices_of


class ToldMirror:
    """A mirror, and what the child was told of it last."""

    def __init__(self, mirror: Mirror) -> None:
        """The child knows the places of `mirror` as they are now, and nothing else."""
        self.mirror = mirror
        self._told: dict[str, list[bool]] = {}

    def news(self) -> dict[str, Any]:
        """Fill the mirror; what has changed since the last call, for the child.

        Returns:
            Those of "moved" (`[index, place]` of parameters that lie elsewhere in the
            mirror), "present" and "trainable" (for each parameter, whether it has a
            gradient and whether it wants one) that are another now.

        Raises:
            ValueRefused: a parameter or gradient is of a make that nothing fits.
        """
        news: dict[str, Any] = {}
        moved = self.mirror.follow()
        if moved:
            news["moved"] = moved
        flags = {
            "present": self.mirror.copy_in(),
            "trainable": [each.requires_grad for each in self.mirror.parameters],
        }
        for name, values in flags.items():
            if self._told.get(name) != values:
                news[name] = self._told[name] = values
        return news

    def take(self, written: Any) -> None:
        """Copy the parameters out, and the gradients that the rule has written to.

        Args:
            written: indices of these gradients, as the child gives them.

        Raises:
            ValueRefused: they are malformed; nothing was copied.
        """
        indices = indices_of(written, self.mirror.parameters)
        self.mirror.copy_out()
        self.mirror.copy_gradients_out(indices)
