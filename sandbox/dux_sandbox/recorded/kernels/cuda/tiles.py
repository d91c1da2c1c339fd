"""How the blocks of a launch share the rows of a strand: in tiles of some rows.

A thread has four columns of a tile and goes down its rows; as many lanes as a row
wants lie beside each other. So the lanes of a warp bring a row together, each thread
has a part of its columns, and what tiles have of both is brought together afterwards.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from dux_sandbox.recorded.kernels.chains import Chain
from dux_sandbox.recorded.kernels.cuda.prelude import BLOCK, THREADS

_MOST_LANES = 32
"""A warp."""
_MOST_DOWN = 128
"""Tiles below each other that each keep a number for each column."""


@dataclass(frozen=True)
class Tiles:
    """`struct tiles` of `prelude`, for one strand.

    Attributes:
        lanes: threads beside each other in a row, four elements each: a power of two.
        tall: rows of a tile.
        across: tiles beside each other.
        down: tiles below each other.
        room: where its parts of reductions begin, in numbers of all that are kept.
    """

    elements: int
    width: int
    rows: int
    lanes: int
    tall: int
    across: int
    down: int
    room: int

    @property
    def words(self) -> tuple[int, ...]:
        """As a device has it."""
        shape = self.elements, self.width, self.rows, self.lanes
        return (*shape, self.tall, self.across, self.down, self.room)

    @property
    def places(self) -> list[tuple[int, int]]:
        """Of each tile in turn, how many are left of it and how many above."""
        return [(x, y) for y in range(self.down) for x in range(self.across)]

    def parts(self, chain: Chain) -> int:
        """How many numbers its tiles keep for reductions of rows and columns."""
        columns = len(chain.columns)
        rows = sum(each.along == "row" for each in chain.reduces)
        return rows * self.across * self.rows + columns * self.down * self.width

    def ends(self, chain: Chain) -> int:
        """How many blocks bring these together, a thread for each result."""
        most = 1
        for each in chain.reduces:
            made = {None: 1, "row": self.rows, "column": self.width}[each.along]
            most = max(most, made)
        return -(-most // THREADS)


def tiles_of(
    chain: Chain, elements: Sequence[int], widths: Sequence[int]
) -> list[Tiles]:
    """The tiles of each strand.

    >>> tiles_of(Chain((), (), (), (), 0), [128 * 1000], [1000])
    [Tiles(elements=128000, width=1000, rows=128, lanes=32, tall=32, across=8, \
down=4, room=0)]
    """
    made: list[Tiles] = []
    room = 0
    for many, width in zip(elements, widths, strict=True):
        lanes = 1
        while lanes < _MOST_LANES and lanes * 4 < width:
            lanes *= 2
        rows, tall = many // width, BLOCK // (lanes * 4)
        if chain.columns:
            tall = max(tall * 2, -(-rows // _MOST_DOWN))
        across, down = -(-width // (lanes * 4)), -(-rows // tall)
        made.append(Tiles(many, width, rows, lanes, tall, across, down, room))
        room += made[-1].parts(chain)
    return made
