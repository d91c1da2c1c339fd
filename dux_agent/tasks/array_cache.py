"""Decoded arrays, kept between runs under DUX_CACHE or the user's cache folder."""

import hashlib
import logging
import os
import tempfile
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dux_agent.tasks.cache_folder import folder

Arrays = dict[str, NDArray[np.generic]]

logger = logging.getLogger(__name__)


def cached(name: str, identity: str, make: Callable[[], Arrays]) -> Arrays:
    """The arrays that `make` returns, from the cache where it holds them.

    Args:
        name: what a person sees in the cache folder.
        identity: a text that differs where data or decoding differ. Arrays kept for
            another one are never used.
        make: decodes the arrays; called when the cache lacks or cannot give them.

    A cache that cannot be read or written costs time and nothing else.
    """
    key = hashlib.sha256(identity.encode()).hexdigest()[:16]
    path = folder() / f"{name}-{key}.npz"
    try:
        # Opened here: np.load leaves a file open when it is no archive.
        with path.open("rb") as file, np.load(file) as stored:
            return {part: stored[part] for part in stored.files}
    except FileNotFoundError:
        pass
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile) as error:
        logger.warning("%s is unusable (%s) and is made again", path, error)
    arrays = make()
    _keep(path, arrays)
    return arrays


def _keep(path: Path, arrays: Arrays) -> None:
    part: str | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, part = tempfile.mkstemp(suffix=".part", dir=path.parent)
        with os.fdopen(handle, "wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]
        os.replace(part, path)
    except OSError as error:
        logger.warning("decoded data are not kept in %s: %s", path.parent, error)
        if part is not None:
            with suppress(OSError):
                os.unlink(part)
