"""Where what can be made again is kept: DUX_CACHE, else the user's caches."""

import os
import sys
from pathlib import Path


def folder() -> Path:
    """The folder: DUX_CACHE, else `dux-agent` in the user's caches."""
    chosen = os.environ.get("DUX_CACHE")
    if chosen:
        return Path(chosen).expanduser()
    if sys.platform == "win32":
        home = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData/Local"
    elif sys.platform == "darwin":
        home = Path.home() / "Library/Caches"
    else:
        home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "dux-agent"
