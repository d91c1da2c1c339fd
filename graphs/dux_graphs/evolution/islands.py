"""Populations apart from each other, with migration; and an archive by behaviour."""

from collections.abc import Iterable
from random import Random

from dux_graphs.evolution.individual import Standing

_MOST = 12  # individuals that an island keeps
_FROM_ARCHIVE = 0.3  # of the parents


class Islands:
    """Islands in a ring; proposal after proposal is one island's after the other's.

    Attributes:
        populations: of each island, the best first.
        archive: the best of each cell of behaviour, whatever island it is of.
    """

    def __init__(self, count: int) -> None:
        """So many empty ones."""
        self.populations: list[list[Standing]] = [[] for _ in range(count)]
        self.archive: dict[tuple[int, ...], Standing] = {}
        self._proposals = 0

    def next(self) -> int:
        """The island that the next proposal is for: no island waits for two rounds."""
        self._proposals += 1
        return (self._proposals - 1) % len(self.populations)

    def settle(self, one: Standing) -> None:
        """Let one live on its island and in its cell, as long as it is among the best.

        One that was stopped at a training lives on: what beat it may be its own child.
        """
        home = self.populations[one.individual.island]
        if one not in home:
            home.append(one)
        home.sort(key=lambda each: each.rank)
        del home[_MOST:]
        held = self.archive.get(one.cell)
        if held is None or one.rank < held.rank:
            self.archive[one.cell] = one

    def migrate(self) -> None:
        """The best of each island is a guest on the next one of the ring."""
        best = [home[0] for home in self.populations if home]
        for at, guest in enumerate(best):
            home = self.populations[(at + 1) % len(self.populations)]
            if guest not in home:
                home.append(guest)
                home.sort(key=lambda each: each.rank)
                del home[_MOST:]

    def parents(self, island: int, rng: Random) -> list[Standing]:
        """Two parents for a proposal, or one where no other is there.

        The first is the better of two that are drawn on the island, or out of the
        archive; the second is another of the archive or of the island.
        """
        cells = [self.archive[cell] for cell in sorted(self.archive)]
        home = self.populations[island] or cells
        if not home:
            return []
        pool = cells if rng.random() < _FROM_ARCHIVE else home
        first = min(rng.choices(pool, k=2), key=lambda each: each.rank)
        others = [each for each in _apart([*home, *cells]) if each is not first]
        return [first, rng.choice(others)] if others else [first]

    def living(self) -> list[Standing]:
        """All that live anywhere, by their numbers."""
        return _apart(
            [*(e for home in self.populations for e in home), *self.archive.values()]
        )


def _apart(standings: Iterable[Standing]) -> list[Standing]:
    """Each once, by their numbers."""
    found = {each.individual.number: each for each in standings}
    return [found[number] for number in sorted(found)]
