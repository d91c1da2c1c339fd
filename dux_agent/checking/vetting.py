"""`dux check`: is an optimizer in a file allowed, and does it do no harm?"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dux_agent.checking.given_options import GivenOptions
from dux_agent.checking.reading import Read, read
from dux_agent.checking.vetted import Vetted
from dux_agent.errors import BadArgument, DuxError
from dux_sandbox.findings import digest_of
from dux_sandbox.gathering.modules import SourceFile

if TYPE_CHECKING:
    from dux_agent.checking.trying import Trial, Tried

# Far beyond any source that the check accepts; a larger file is read no further.
_MOST_BYTES = 1 << 22
# Of a file that cannot be parsed.
_OPTIMIZER = re.compile(r"^class\s+\w+\s*\([^)\n]*Optimizer", re.MULTILINE)


def read_source(file: str) -> str:
    """The text of a file.

    Raises:
        BadArgument: it is missing, unreadable, no ordinary file, or no UTF-8 text.
    """
    path = Path(file)
    wanted = "a Python file was wanted; name one that you can read"
    try:
        if path.exists() and not path.is_file():
            raise BadArgument(f"{file} is no ordinary file; {wanted}.")
        with path.open("rb") as held:
            content = held.read(_MOST_BYTES)
    except BadArgument:
        raise
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise BadArgument(f"{file} cannot be read: {why}; {wanted}.") from None
    try:
        # A byte order mark is no part of the source.
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        # A long text is cut anywhere; it is refused for its length further on.
        if len(content) == _MOST_BYTES and error.start > _MOST_BYTES - 4:
            return content[: error.start].decode("utf-8-sig")
        raise BadArgument(
            f"{file} is no UTF-8 text (byte {error.start}); {wanted}."
        ) from None


def vet(
    file: str,
    source: str,
    *,
    static: bool = False,
    names: Sequence[str] = (),
    beside: Sequence[SourceFile] = (),
    options: GivenOptions | None = None,
    trial: Trial | None = None,
    given_up: Callable[[], bool] = lambda: False,
) -> Vetted:
    """Judge every optimizer of a file: a static check, then a dry run.

    Args:
        file: where the source lies; so it is called in findings.
        source: its text.
        static: only read the source; run nothing.
        names: the classes that are meant; all of them by default.
        beside: files that it may import; what it uses of them is judged with it.
        options: what its constructors are given in place of their defaults.
        trial: what the dry run is made on; a small built-in model by default.
        given_up: asked before each dry run; True ends it all.

    Raises:
        BadArgument: a name is no optimizer of the file, or an option no argument of its
            constructors.
        DuxError: no process for the dry run can be had on this system, or it was
            given up.
    """
    options = options or GivenOptions()
    held = read(file, source, names=names, beside=beside, options=options)
    return vetted_of(held, static=static, trial=trial, given_up=given_up)


def vetted_of(
    held: Read,
    *,
    static: bool,
    trial: Trial | None = None,
    given_up: Callable[[], bool] = lambda: False,
) -> Vetted:
    """What was read of a file, with the dry runs of the classes that are accepted.

    Raises:
        DuxError: no process for the dry run can be had on this system, or it was
            given up.
    """
    vetted = []
    for part in held.parts:
        runs = part.report.ok and part.name is not None and not static
        if runs and given_up():
            raise DuxError(f"{held.file}: the check was given up.")
        vetted.append(part.vetted(_tried(part.text, trial) if runs else None))
    about = (held.found, held.beside)
    return Vetted(held.file, _kind(held), digest_of(held.text), tuple(vetted), *about)


def _kind(held: Read) -> str:
    if held.signs:
        return "script"
    strangers = held.about is not None and bool(held.about.strangers)
    named = any(part.name is not None for part in held.parts)
    if held.about is None:
        return "optimizer" if _OPTIMIZER.search(held.text) else "other"
    return "optimizer" if named or strangers else "other"


def _tried(source: str, trial: Trial | None) -> Tried:
    from dux_agent.checking.trying import built_in, try_out
    from dux_sandbox.dry_runs.scratch import CannotClone
    from dux_sandbox.process.spawning import IsolationUnavailable

    try:
        return try_out(source, trial or built_in())
    except (ValueError, CannotClone) as error:
        raise BadArgument(f"the model of --model cannot be tried: {error}") from None
    except IsolationUnavailable as error:
        raise DuxError(f"{error}; pass --static to read the source only.") from None
