"""How long the static check of the dearest sources of 64 KiB takes."""

import ast
import time
import warnings

from dux_agent.benchmarks.measurement import Measurement
from dux_sandbox.language.vocabulary import SOURCE_BYTES, SOURCE_LINES
from dux_sandbox.static_check import check

ROUNDS = 3
BAR = 0.5  # seconds of CPU
_RULE = "import torch\nx = y = a = 0\nclass Rule(torch.optim.SGD): 0\n"


def _finally(depth: int) -> str:
    blocks = [f"{' ' * at}try: x\n{' ' * at}finally:\n" for at in range(1, depth)]
    return "def f():\n" + "".join(blocks) + " " * depth + "x\n"


# One piece of each kind, repeated to the limit of size: as dense as the limits on the
# tree allow, and denser. The names say what was once more than linear.
_PIECES = {
    "chained classes": "class A{}(A{}): 0\n",
    "nested finally": _finally(17),
    "constant products": "x=" + "*".join(["9**9"] * 80) + "\n",
    "sums": "x=" + "+".join(["1"] * 85) + "\n",
    "modulos": "x=" + "%".join(["y"] * 85) + "\n",
    "attributes": "x" + ".real" * 29 + "\n",
    "writes by guard": "x[a].real+=y\n",
    "f-strings": "x=f'" + "{a}{y}" * 150 + "'\n",
    "comprehensions": "x=" + "[" * 12 + "x" + " for x in y]" * 12 + "\n",
    "items": "x" + "[0]" * 85 + "\n",
}


def _source(piece: str, share: float) -> str:
    """The piece as often as fits into this share of the allowed size."""
    parts, size, lines = [_RULE], len(_RULE), SOURCE_LINES - _RULE.count("\n") - 1
    while True:
        part = piece.format(len(parts), len(parts) - 1) if "{}" in piece else piece
        size, lines = size + len(part), lines - part.count("\n")
        if size > share * SOURCE_BYTES or lines < 0:
            return "".join(parts)
        parts.append(part)


def _seconds(rounds: int, text: str) -> tuple[float, float]:
    """The least CPU time of a check and of `ast.parse`."""
    checks, parses = [], []
    for _ in range(rounds):
        began = time.process_time()
        check(text)
        between = time.process_time()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ast.parse(text)
        checks.append(between - began)
        parses.append(time.process_time() - between)
    return min(checks), min(parses)


def measure(rounds: int = ROUNDS) -> Measurement:
    """Seconds of CPU for the dearest of some sources.

    Args:
        rounds: of which the quickest counts, for each source.
    """
    worst = (0.0, 0.0, "")
    for name, piece in _PIECES.items():
        for share in (0.25, 0.5, 1.0):
            took, parse = _seconds(rounds, _source(piece, share))
            worst = max(worst, (took, parse, f"{name}, {share:.0%} of 64 KiB"))
    took, parse, name = worst
    return Measurement(
        name="the dearest static check",
        value=took,
        bar=BAR,
        unit="s",
        detail=f"{name}; {took / parse:.1f} times ast.parse, CPU time",
    )
