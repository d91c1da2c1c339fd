"""The Python files of a folder that somebody names."""

import os
from pathlib import Path

from dux_agent.checking.vetting import read_source
from dux_agent.errors import BadArgument

_PASSED_OVER = frozenset(
    "__pycache__ build dist env node_modules site-packages venv".split()
)
_MOST_FILES = 2_000
_MOST_TEXT = 64 << 20  # characters of all files together: they are held at once


def python_files(folder: str) -> list[str]:
    """The Python files of a folder and those below, by name.

    Hidden folders, environments and what is built are passed over; no link to a folder
    is followed.

    Raises:
        BadArgument: there are none, or more than a person would check.
    """
    found: list[str] = []
    for at, folders, names in os.walk(folder):
        folders[:] = sorted(
            name
            for name in folders
            if name not in _PASSED_OVER
            and not name.startswith(".")
            and not Path(at, name, "pyvenv.cfg").exists()
        )
        found += [
            os.path.normpath(os.path.join(at, name))
            for name in sorted(names)
            if name.endswith(".py") and Path(at, name).is_file()
        ]
        if len(found) > _MOST_FILES:
            raise BadArgument(
                f"{folder} holds more than {_MOST_FILES} Python files; no more are "
                f"checked at once; name a folder below it."
            )
    if not found:
        raise BadArgument(
            f"{folder} is no ordinary file but a folder, and no Python file is in it; "
            f"name a file, or a folder that holds some."
        )
    return found


def texts_in(folder: str) -> list[tuple[str, str | BadArgument]]:
    """Each Python file of a folder with its text, or why that is not read.

    Raises:
        BadArgument: there are none, or too much for one check.
    """
    held = []
    size = 0
    for file in python_files(folder):
        text = _read_in(file, folder)
        size += len(text) if isinstance(text, str) else 0
        if size > _MOST_TEXT:
            raise BadArgument(
                f"{folder} holds more than {_MOST_TEXT >> 20} MiB of Python; no more "
                f"is checked at once; name a folder below it."
            )
        held.append((file, text))
    return held


def _read_in(file: str, folder: str) -> str | BadArgument:
    root = os.path.realpath(folder)
    if os.path.commonpath([root, os.path.realpath(file)]) != root:
        # Findings quote what they find, and the folder may be anybody's.
        return BadArgument(
            f"{file} is a link that leads out of {folder}; name it by itself"
        )
    try:
        return read_source(file)
    except BadArgument as error:
        return error
