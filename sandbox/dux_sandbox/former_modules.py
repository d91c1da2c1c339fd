"""Modules that have moved answer to their former names for one version, with a warning.

What a run folder or a recording names is not looked up here: no name of a module
stands in them.
"""

import sys
import warnings
from collections.abc import Mapping, Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType


class FormerModules(MetaPathFinder, Loader):
    """Finds a module under the name it had.

    Args:
        present: former dotted names to present ones. What lay in a former room and is
            not named itself has kept its own name in the room's present one.
    """

    def __init__(self, present: Mapping[str, str]) -> None:
        self._present = dict(present)

    def know(self, present: Mapping[str, str]) -> None:
        """Find these too."""
        self._present.update(present)

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,
        target: ModuleType | None = None,
    ) -> ModuleSpec | None:
        """A spec for a former name; None for every other name."""
        if not fullname.startswith("dux_"):
            return None  # Accelerate looks for packages at every step
        return ModuleSpec(fullname, self) if self._now(fullname) else None

    def exec_module(self, module: ModuleType) -> None:
        """Puts the present module in the place of the one that was asked for."""
        former = module.__name__
        present = self._now(former)
        warnings.warn(
            f"{former} is {present} now; the former name goes with the next version.",
            DeprecationWarning,
            stacklevel=2,
        )
        sys.modules[former] = import_module(present)

    def _now(self, former: str) -> str:
        """The present name, "" for what has not moved."""
        room, _, name = former.rpartition(".")
        if former in self._present or room not in self._present:
            return self._present.get(former, "")
        return f"{self._present[room]}.{name}"


def keep_former_names(present: Mapping[str, str]) -> None:
    """Let modules be imported under their former names too.

    Args:
        present: as for `FormerModules`. The finder stands before Python's own, which
            would load a module of a former room a second time.
    """
    for finder in sys.meta_path:
        if isinstance(finder, FormerModules):  # each is asked whenever one looks
            finder.know(present)
            return
    sys.meta_path.insert(0, FormerModules(present))
