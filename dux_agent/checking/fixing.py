"""`dux check --fix`: a rewrite that is accepted, and shown to take the same steps."""

import difflib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from dux_agent.checking.proving import Proof, idle_in, proof_of, values_of
from dux_agent.checking.reading import Read
from dux_agent.checking.trying import Trial
from dux_agent.checking.vetted import Fixed
from dux_agent.checking.vetting import vet
from dux_agent.errors import BadArgument, DuxError
from dux_sandbox.findings import printable
from dux_sandbox.gathering.gathered import Origin
from dux_sandbox.gathering.modules import SourceFile
from dux_sandbox.mending.computed import constants_of
from dux_sandbox.mending.mend import Mended, mend


@dataclass(frozen=True)
class Plan:
    """What `--fix` would write for one file.

    Attributes:
        held: the file as it was read.
        target: the file that would be written.
        mended: the rewrite; None where the file cannot be read.
        idle: what classes raise that take no step, and are no part of the rewrite.
    """

    held: Read
    target: str
    mended: Mended | None
    idle: Mapping[str, str] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        """The optimizers that are meant."""
        return [part.name for part in self.held.parts if part.name is not None]

    @property
    def text(self) -> str:
        """What would be written."""
        return "" if self.mended is None else f"{self.mended.source.text.strip()}\n"

    @property
    def wanted(self) -> bool:
        """Whether there is anything to write."""
        if self.mended is None or not self.names:
            return False
        lines = self.mended.source.lines
        return bool(self.held.beside) or lines != self.held.whole.lines


def plan(held: Read) -> Plan:
    """Rewrite a file by rules of thumb; nothing is written.

    Constants that a file computes by what is refused are computed in a locked process.

    Raises:
        BadArgument: what would be written is there already.
        DuxError: no process of its own can be had on this system.
    """
    stem, _ = os.path.splitext(held.file)
    made = Plan(held, f"{stem}.fixed.py", None)
    if held.about is not None and made.names:
        idle = idle_in(held)
        parts = tuple(part for part in held.parts if part.name not in idle)
        made = replace(made, held=replace(held, parts=parts), idle=idle)
        made = replace(made, mended=_mended(made))
    if made.wanted and made.mended is not None and made.mended.ok:
        if os.path.lexists(made.target):
            raise BadArgument(
                f"--fix would write {made.target}, which is there already; move it "
                f"away, or check that one."
            )
    return made


def _mended(made: Plan, left: Sequence[Origin] = ()) -> Mended | None:
    held, script = made.held, bool(made.held.signs)
    mended = mend(held.whole, made.names, script=script, left=left, idle=made.idle)
    if mended is None or mended.ok or held.about is None:
        return mended
    constants = constants_of(held.about)
    values = values_of(held, constants) if constants else {}
    if not values:
        return mended
    return mend(
        held.whole,
        made.names,
        script=script,
        left=left,
        values=values,
        idle=made.idle,
    )


def fix(made: Plan, beside: Sequence[SourceFile], trial: Trial | None) -> Fixed:
    """Compare a rewrite with the file, try it, and write it beside the file.

    Args:
        made: the rewrite.
        beside: files that the file may import.
        trial: what its dry run is made on.

    Raises:
        DuxError: no process of its own can be had on this system, or the file cannot
            be written.
    """
    mended = made.mended
    if mended is None or not made.names:
        return Fixed(trouble="there is no optimizer in it that could be rewritten")
    if not made.wanted:
        return Fixed() if made.held.ok else Fixed(trouble=_left(mended))
    if not mended.ok:
        return Fixed(None, mended.changes, _diff(made), trouble=_left(mended))
    proof, mended = _proved(made, mended, beside)
    made = replace(made, mended=mended)
    done = Fixed(None, mended.changes, _diff(made), proof.told, proof.trouble)
    if proof.trouble:
        return done
    vetted = vet(made.target, made.text, names=made.names, trial=trial)
    if not vetted.ok:
        said = str(vetted.findings[0].finding)
        return replace(done, trouble=f"it is refused as rewritten: {said}")
    _write(made.target, made.text)
    return replace(done, target=made.target)


def _proved(
    made: Plan, mended: Mended, beside: Sequence[SourceFile]
) -> tuple[Proof, Mended]:
    """A proof; where a rewrite was not come past, one of the file without that."""
    files = [SourceFile(made.held.file, made.held.text), *beside]
    proof = proof_of(made.held, files, made.target, mended)
    if not proof.unseen:
        return proof, mended
    milder = _mended(made, proof.unseen)
    if milder is None or not milder.ok:
        return proof, mended
    return proof_of(made.held, files, made.target, milder), milder


def _left(mended: Mended) -> str:
    """What still speaks against a rewrite, in one phrase."""
    if not mended.findings:
        return "no rule of thumb makes it acceptable"
    file, finding = mended.findings[0]
    more = len(mended.findings) - 1
    rest = f" (and {more} more)" if more else ""
    place = f"{os.path.basename(file)}, " if file else ""
    return f"no rule of thumb mends {place}{finding}{rest}"


def _diff(made: Plan) -> str:
    before = made.held.text.splitlines()
    # A line end in a name would forge lines of the diff.
    names = printable(made.held.file), printable(made.target)
    lines = difflib.unified_diff(before, made.text.splitlines(), *names, lineterm="")
    return "\n".join(lines)


def _write(target: str, text: str) -> None:
    """Write a file that is not there yet.

    Raises:
        DuxError: it is there by now, or cannot be written.
    """
    try:
        with open(target, "x", encoding="utf-8", newline="\n") as file:
            file.write(text)
    except (OSError, UnicodeEncodeError) as error:
        raise DuxError(f"--fix cannot write {target}: {error}.") from None
