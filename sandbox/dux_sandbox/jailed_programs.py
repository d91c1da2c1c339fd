"""Runs a program of a language model in the jail; predictions come back as numbers.

Full Python, so the process is the wall: two walls fewer than round a rule, and nothing
runs where one of the layers that are left does not hold.
"""

from typing import Any

from dux_sandbox.findings import CannotRunSo, Finding, RuleFailed, digest_of
from dux_sandbox.process.conversation import Conversation
from dux_sandbox.process.spawning import forked
from dux_sandbox.programs.running import Rows

SECONDS = 60.0
MEMORY = 2 << 30  # bytes
LAYERS = ("rlimits", "no-new-privs", "landlock", "seccomp")
"""Those without which no program runs."""

_MOST_JSON = 1 << 16
# A program holds its rows as they came, as arrays, and as tensors.
_COPIES = 6
_INSTEAD = {
    "time": "fewer epochs, rows, trees or parameters",
    "memory": "a smaller model, or smaller batches",
    "died": "plain torch, numpy and scikit-learn on one thread",
    "channel": "return the predictions, and nothing else",
}


class ProgramFailed(Exception):
    """A program gave no predictions.

    Attributes:
        finding: why.
    """

    def __init__(self, finding: Finding) -> None:
        self.finding = finding
        where = "" if finding.line is None else f"line {finding.line}: "
        super().__init__(f"{where}{finding.message}")


class NoJail(CannotRunSo):
    """This system cannot hold a program; says what it lacks and what to do."""


def predict(
    source: str,
    rows: Rows,
    *,
    seed: int = 0,
    seconds: float = SECONDS,
    memory: int = MEMORY,
) -> Any:
    """What a program says of rows whose targets it never sees.

    Args:
        source: the program, see `dux_sandbox.programs.contract`.
        rows: what it is given.
        seed: of Python's, NumPy's and torch's random numbers.
        seconds: for all of it, the reading of its answer included.
        memory: bytes that it may take beyond its rows.

    Returns:
        (rows to predict,), float64, finite. They are claims of the program, and may be
        anything else: nothing but a number was read.

    Raises:
        ProgramFailed: it raised, was late, died, or answered nonsense.
        NoJail: a layer of the jail does not hold here; nothing ran.
        IsolationUnavailable: this system cannot isolate.
    """
    import numpy as np

    arrays = {
        "x_train": np.ascontiguousarray(rows.x_train, "<f4"),
        "y_train": np.ascontiguousarray(rows.y_train, "<i8" if rows.classes else "<f4"),
        "x_eval": np.ascontiguousarray(rows.x_eval, "<f4"),
    }
    given = sum(each.nbytes for each in arrays.values())
    talk = _talk(source, memory + _COPIES * given)
    request = {
        "source": source,
        "seed": seed,
        "classes": rows.classes,
        "arrays": [[n, a.dtype.str, list(a.shape)] for n, a in arrays.items()],
    }
    count = len(arrays["x_eval"])
    try:
        reply, blob = talk.ask(
            request,
            seconds,
            blobs=[each.tobytes() for each in arrays.values()],
            max_json=_MOST_JSON,
            max_blob=8 * count,
        )
        talk.require_ok(reply)
        if len(blob) != 8 * count:
            raise talk.fail("channel", f"it answered {len(blob) // 8} of {count} rows")
        said = np.frombuffer(blob, "<f8")
        if not np.isfinite(said).all():
            raise talk.fail("values", "its predictions are not all finite")
        return said
    except RuleFailed as error:
        raise ProgramFailed(_told(error.finding)) from None
    finally:
        talk.child.kill()


def require_jail() -> None:
    """See in a child that the jail holds here; starts the warm process.

    Raises:
        NoJail: a layer does not hold.
        IsolationUnavailable: this system cannot isolate.
    """
    _talk("", MEMORY).child.kill()


def _talk(source: str, memory: int) -> Conversation:
    """A child behind its locked doors, which has heard nothing yet."""
    child = forked({"purpose": "fit", "memory": memory}, of="programs")
    talk = Conversation(child, digest_of(source))
    why = _why_not(talk)
    if why:
        child.kill()
        raise NoJail(why)
    return talk


def _why_not(talk: Conversation) -> str:
    """Why nothing may run in this child; "" where it is held."""
    try:
        reached = talk.require_layers(LAYERS)["reached"]
    except RuleFailed as error:
        return (
            f"a program of a language model is full Python, which only runs where "
            f"{', '.join(LAYERS)} of the jail hold: {error.finding.message}; run `dux "
            f"doctor`, or pass execution='inline' where you trust who writes it."
        )
    except KeyError:
        return "the jail of a program says too little of itself; run `dux doctor`."
    if reached:
        return (
            f"{' and '.join(map(str, reached))} can be reached out of the jail, though "
            f"its layers say that they hold; run `dux doctor`."
        )
    return ""


def _told(finding: Finding) -> Finding:
    """A finding of a rule's process, in the words of a program's."""
    instead = _INSTEAD.get(finding.rule, finding.instead)
    message = finding.message.replace("the rule ", "the program ")
    return Finding(finding.rule, finding.line, message, instead)
