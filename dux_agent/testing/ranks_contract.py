"""What the ranks of a training promise, as tests that anybody's ranks inherit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from threading import Barrier, BrokenBarrierError
from typing import Any, TypeVar

from dux_agent.errors import RanksLost
from dux_agent.testing.contract import ContractTestCase
from dux_agent.training.ranks import Ranks

Value = TypeVar("Value")
_SECONDS = 60.0


class ThreadRanks:
    """Ranks that are threads of one process: `ThreadRanks.of(2)`, one for each."""

    def __init__(self, rank: int, given: list[Any], barrier: Barrier) -> None:
        self.rank, self.count = rank, len(given)
        self._given, self._barrier = given, barrier

    @classmethod
    def of(cls, count: int) -> list[ThreadRanks]:
        """So many that know each other."""
        given, barrier = [None] * count, Barrier(count, timeout=_SECONDS)
        return [cls(rank, given, barrier) for rank in range(count)]

    def gather(self, value: Value) -> list[Value]:
        """See `dux_agent.training.ranks.Ranks`."""
        self._given[self.rank] = value
        try:
            self._barrier.wait()
        except BrokenBarrierError:
            raise RanksLost("a thread has left; all of them were wanted.") from None
        gathered = list(self._given)
        with suppress(BrokenBarrierError):  # one that has what it wanted may leave
            self._barrier.wait()
        return gathered

    def leave(self) -> None:
        """See `dux_agent.training.ranks.Ranks`."""
        self._barrier.abort()


class RanksTestCase(ContractTestCase):
    """Tries the ranks of one training; for pytest and unittest alike.

    class TestMine(RanksTestCase):
        def make(self):
            return [MyRank(number) for number in range(2)]
    """

    __test__ = False  # itself, where a module of tests imports it
    nothing_to_try = "there are no ranks to try; inherit it and make some"

    def make(self) -> Sequence[Ranks]:
        """All ranks of one training; each is used in a thread of its own."""
        raise NotImplementedError("override make()")

    def on_each(self, ask: Callable[[Ranks], Value]) -> list[Value]:
        """What every rank answers, asked at the same time."""
        ranks = self.make()
        with ThreadPoolExecutor(len(ranks)) as pool:
            return list(pool.map(ask, ranks))

    def test_they_are_numbered_from_nought(self) -> None:
        ranks = self.make()

        self.assertEqual(list(range(len(ranks))), [each.rank for each in ranks])
        self.assertEqual({len(ranks)}, {each.count for each in ranks})

    def test_each_gets_what_all_gave_in_order(self) -> None:
        def ask(rank: Ranks) -> list[list[Any]]:
            mine = {"rank": rank.rank, "losses": [0.1, None], "source": "class A: 1"}
            return [rank.gather(mine), rank.gather((rank.rank, turn := 2) * turn)]

        told = self.on_each(ask)

        count = len(told)
        self.assertEqual([told[0]] * count, told, "ranks were told different things")
        first, second = told[0]
        self.assertEqual(list(range(count)), [each["rank"] for each in first])
        self.assertEqual([(rank, 2) * 2 for rank in range(count)], second)

    def test_who_waits_for_one_that_has_left_hears_of_it(self) -> None:
        def ask(rank: Ranks) -> str:
            rank.gather(0.0)
            if rank.rank == 1:
                rank.leave()
            try:
                rank.gather(1.0)
            except RanksLost:
                return "lost"
            return "nothing heard"

        told = self.on_each(ask)

        alone = len(told) == 1  # and leaves nobody
        self.assertEqual(["nothing heard"] if alone else ["lost"] * len(told), told)
