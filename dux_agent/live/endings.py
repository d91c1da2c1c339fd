"""How a rule ends, told to whoever wants to know: no rule goes without a word."""

from collections.abc import Callable

from dux_sandbox.running import RunningRule

Told = Callable[[str], None]


class Endings:
    """The ends of a rule, each with its reason, and what may follow a rollback.

    Attributes:
        on_rollback: called after a rule was taken out and everything was put back.
        on_outgrown: called after a rule was taken out of a model that the loop has
            changed; None: `on_rollback` is.
        on_ended: called after a live rule gave way to a checkpoint.
        on_lost: called after the predecessor was lost, and the base optimizer took its
            place.
        on_relapse: called after a rollback has turned out to have put back something
            spoilt, and the snapshot before it was put back.
        ended: the rule that the last of these calls was about, if it was live.
        put_back: how often there were other weights, or another rule, from then on.
    """

    def __init__(self) -> None:
        self.on_rollback: Told | None = None
        self.on_outgrown: Told | None = None
        self.on_ended: Told | None = None
        self.on_lost: Told | None = None
        self.on_relapse: Told | None = None
        self.ended: RunningRule | None = None
        self.put_back = 0

    def tell_rollback(
        self, rule: RunningRule, reason: str, *, blame: bool = True
    ) -> None:
        """A rule was taken out, for harm or because the model has changed."""
        self.ended = rule
        self.put_back += 1
        _tell(
            self.on_rollback if blame else self.on_outgrown or self.on_rollback, reason
        )

    def tell_ended(self, rule: RunningRule, reason: str) -> None:
        """A live rule has given way to a checkpoint."""
        self.ended = rule
        self.put_back += 1
        _tell(self.on_ended, reason)

    def tell_relapse(self, reason: str) -> None:
        """An older snapshot was put back; no other rule is to blame for it."""
        self.put_back += 1
        _tell(self.on_relapse, reason)

    def tell_lost(self, reason: str) -> None:
        """The predecessor is gone."""
        _tell(self.on_lost, reason)


def _tell(told: Told | None, reason: str) -> None:
    if told is not None:
        told(reason)
