"""`dux fuzz --golden FILE`: recorded where the file is missing, else compared."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dux_agent.errors import BadArgument, DuxError
from dux_graphs.plain_json import NoPlainJson, read_json

if TYPE_CHECKING:
    from dux_sandbox.golden import Trajectory

_FORMAT = 1
_MOST_BYTES = 1 << 20  # a trajectory takes some 60 KB; of more, the JSON is cut


@dataclass(frozen=True)
class Golden:
    """What came of a golden trajectory.

    Attributes:
        ok: it was recorded, or is the same as what was recorded.
        message: what was done, or the first step that differs.
    """

    ok: bool
    message: str

    def as_dict(self) -> dict[str, Any]:
        """Plain data for `--json`."""
        return {"ok": self.ok, "message": self.message}


def read_golden(file: str) -> tuple[Trajectory, str] | None:
    """What was recorded, and the torch it was recorded with; None without the file.

    Raises:
        BadArgument: the file holds something else, or cannot be written later on.
        DuxError: it cannot be read.
    """
    from dux_sandbox.golden import is_trajectory

    path = Path(file)
    try:
        if path.exists() and not path.is_file():
            raise BadArgument(
                f"--golden {file} is no ordinary file; a file that dux fuzz --golden "
                f"wrote, or none, was wanted; name another."
            )
        with path.open("rb") as opened:
            held = read_json(opened.read(_MOST_BYTES + 1), nan=True)
    except FileNotFoundError:
        if not path.parent.is_dir():
            raise BadArgument(
                f"--golden {file}: there is no folder {path.parent}; make it first."
            ) from None
        return None
    except OSError as error:
        raise DuxError(
            f"--golden {file} cannot be read: {error.strerror}; a file that dux fuzz "
            f"--golden wrote, or none, was wanted; name another."
        ) from None
    except NoPlainJson:
        held = None
    if (
        not isinstance(held, dict)
        or held.get("format") != _FORMAT
        or not isinstance(held.get("torch"), str)
        or not is_trajectory(held.get("trajectory"))
    ):
        raise BadArgument(
            f"--golden {file} holds no golden trajectory of format {_FORMAT}; name "
            f"another file, or delete it to record anew."
        )
    return held["trajectory"], held["torch"]


def write_golden(file: str, made: Trajectory) -> None:
    """Record a trajectory; a file that is there already is never written over.

    Raises:
        DuxError: it cannot be written.
    """
    import torch

    held = {"format": _FORMAT, "torch": str(torch.__version__), "trajectory": made}
    part = f"{file}.{os.getpid()}.part"
    try:
        Path(part).write_text(json.dumps(held) + "\n", encoding="utf-8")
        os.link(part, file)
    except OSError as error:
        raise DuxError(
            f"--golden {file} cannot be written: {error.strerror or error}; a file in "
            f"a folder that may be written was wanted; name another."
        ) from None
    finally:
        Path(part).unlink(missing_ok=True)


def judge_golden(file: str, source: str) -> Golden:
    """Run a source in its jailed process, and record what it does or compare it.

    Raises:
        BadArgument, DuxError: as above.
    """
    from dux_sandbox.golden import STEPS, difference
    from dux_sandbox.jailed_laws import TrajectoryFailed, trajectory_of

    recorded = read_golden(file)
    try:
        made = trajectory_of(source)
    except TrajectoryFailed as error:
        return Golden(False, f"it could not be run: {error}")
    if recorded is None:
        write_golden(file, made)
        return Golden(True, f"recorded in {file}")
    differs = difference(recorded[0], made)
    with_torch = f"recorded with torch {recorded[1]}"
    if differs:
        return Golden(False, f"{differs} ({with_torch})")
    return Golden(True, f"the same {STEPS} steps on every problem ({with_torch})")
