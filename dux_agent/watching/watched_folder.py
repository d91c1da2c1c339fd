"""What `dux watch` was given: a run folder, one that holds several, or none yet."""

import os
import time
from contextlib import suppress
from pathlib import Path
from threading import Lock

from dux_agent.errors import DuxError
from dux_agent.report.money import Prices
from dux_agent.run_folder.folder_lock import is_locked
from dux_agent.watching.pages import Listed, render_list, render_note
from dux_agent.watching.watched_run import Page, WatchedRun

_MOST_LISTED = 200
_MOST_LOOKED_AT = 10_000
# Runs that are kept in memory; each holds some tens of megabytes at most.
_MOST_OPEN = 4
_SECONDS_BETWEEN_LISTS = 2.0


class WatchedFolder:
    """A folder as pages; safe to use from several threads."""

    def __init__(self, path: Path, prices: Prices, token: str) -> None:
        """Nothing was read yet.

        Args:
            path: a run folder, a folder of such, or one that is to come.
            prices: of language models.
            token: for the addresses of its runs.
        """
        self.path, self._prices, self._token = path, prices, token
        self._lock = Lock()
        self._open: dict[Path, WatchedRun] = {}
        self._list, self._listed = Page.of(""), float("-inf")

    def page(self, name: str | None) -> Page:
        """The page as things are now.

        Args:
            name: of one of several runs.
        """
        path = self._run(name)
        try:
            if path is not None:
                return self.run(path).page()
            return self._page_of_several()
        except FileNotFoundError:
            told = "there is no run yet; it is shown as soon as it is there"
        except DuxError as error:
            told = str(error)
        except OSError as error:
            told = f"it cannot be read: {error.strerror or error}"
        return Page.of(render_note(path or self.path, told))

    def run_named(self, name: str | None) -> WatchedRun | None:
        """The run that something is to be said to; None where there is none."""
        path = self._run(name)
        return None if path is None else self.run(path)

    def run(self, path: Path) -> WatchedRun:
        """One of the runs; those that were not asked for lately are let go of."""
        with self._lock:
            known = self._open.pop(path, None)
            if known is None:
                above = "" if path == self.path else f"?token={self._token}"
                known = WatchedRun(path, self._prices, above=above)
            self._open[path] = known
            while len(self._open) > _MOST_OPEN:
                self._open.pop(next(iter(self._open))).close()
            return known

    def close(self) -> None:
        """Nobody watches here any more."""
        with self._lock:
            for each in self._open.values():
                each.close()
            self._open.clear()

    def _run(self, name: str | None) -> Path | None:
        """The run folder that is meant; None for the list of all."""
        if _is_run(self.path):
            return self.path
        if name in (None, "..") or Path(name).name != name:
            return None
        inside = self.path / name
        return inside if _is_run(inside) else None

    def _page_of_several(self) -> Page:
        with self._lock:
            if time.monotonic() - self._listed >= _SECONDS_BETWEEN_LISTS:
                runs = listed(self.path)
                if not runs:
                    raise FileNotFoundError
                self._list = Page.of(render_list(self.path, runs, self._token))
                self._listed = time.monotonic()
            return self._list


def _is_run(path: Path) -> bool:
    # Also of a name that no file can have, and of a folder that cannot be entered.
    return os.path.isfile(path / "run.json")


def listed(path: Path) -> list[Listed]:
    """The run folders in a folder, the newest first.

    Raises:
        OSError: it cannot be read; there is none.
    """
    found = []
    for at, inside in enumerate(path.iterdir()):
        if at >= _MOST_LOOKED_AT:
            break
        with suppress(OSError):
            if _is_run(inside):
                trace = inside / "trace.jsonl"
                found.append((trace.stat().st_mtime, inside.name))
    found.sort(reverse=True)
    return [
        Listed(name, changed, is_locked(path / name / "trace.jsonl"))
        for changed, name in found[:_MOST_LISTED]
    ]
