"""One rank decides, and now and then has all of them do something together."""

from collections.abc import Callable
from typing import Any, Generic, TypeVar

from dux_agent.deciding.beating import Beating
from dux_agent.errors import RanksLost
from dux_agent.training.ranks import Ranks

Thought = TypeVar("Thought")
Order = TypeVar("Order")
_ORDER, _TOLD, _ERROR = "order", "told", "error"


class Orders(Generic[Order]):
    """Between two orders nobody waits for anything but a sign of life."""

    def __init__(
        self,
        ranks: Ranks,
        do: Callable[[Order], Any],
        stop: Callable[[], None] = lambda: None,
    ) -> None:
        """Nobody waits yet.

        Args:
            do: what all of them do at an order; what it raises it raises on all.
            stop: called on another thread where one of the ranks is gone.
        """
        self._ranks, self._do, self._stop = ranks, do, stop
        self._given_up = False
        self._waits: Beating

    def lead(self, think: Callable[[], Thought]) -> Thought:
        """What `think` comes to, which may `give` orders; on the first rank.

        Raises:
            RanksLost: another rank is gone. Whatever `think` raises.
        """
        self._wait()
        said: tuple[str, Any] = (_ERROR, "it was given up")
        try:
            thought = think()
            said = (_TOLD, thought)
            return thought
        except BaseException as error:
            said = (_ERROR, f"{type(error).__name__}: {error}")
            raise
        finally:
            if not self._given_up:
                self._say(said)

    def give(self, order: Order) -> Any:
        """Have all ranks do it; what came of it here. Raises what that raises."""
        self._given_up = True
        self._say((_ORDER, order))
        done = self._do(order)
        self._wait()
        self._given_up = False
        return done

    def follow(self) -> Any:
        """Do what is ordered; what the first rank came to.

        Raises:
            RanksLost: the first rank is gone, or has failed. Whatever an order raises.
        """
        while True:
            self._wait()
            kind, told = self._say(None)
            if kind == _TOLD:
                return told
            if kind == _ERROR:
                raise RanksLost(
                    f"rank 0 has failed in a decision ({told}); one that ends was "
                    f"wanted; mend that first."
                )
            self._do(told)

    def _wait(self) -> None:
        self._waits = Beating(self._ranks, self._stop)
        self._waits.__enter__()

    def _say(self, own: Any) -> Any:
        """What the first rank says once it has something to say."""
        self._waits.__exit__()
        return self._ranks.gather(own)[0]
