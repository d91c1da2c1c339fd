"""A Python with what `pip install dux-agent` brings, and nothing of any extra.

python -m tests.plain_install                  # what cannot be imported so
python -m tests.plain_install run sine ...     # a command of dux
"""

import importlib
import pkgutil
import re
import sys
from importlib import metadata
from importlib.machinery import PathFinder

OURS = ["dux_agent", "dux_graphs", "dux_prompts", "dux_sandbox"]


def brought():
    """The distributions that dux-agent needs, and those that they need."""
    found, wanted = set(), ["dux-agent"]
    while wanted:
        name = re.sub(r"[-_.]+", "-", wanted.pop()).lower()
        if name in found:
            continue
        try:
            lines = metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            continue  # of another system
        found.add(name)
        for line in lines:
            if "extra ==" not in line:
                wanted.append(re.match(r"[\w.-]+", line)[0])
    return found


class WithoutExtras:
    """Python's own finder, blind to packages that only an extra, or a test, brings."""

    def __init__(self):
        there = brought()
        self._missing = {
            package
            for package, names in metadata.packages_distributions().items()
            if not {re.sub(r"[-_.]+", "-", each).lower() for each in names} & there
        }
        self._missing |= {"langgraph.checkpoint.sqlite"}  # in a folder with others

    def find_spec(self, name, path=None, target=None):
        if name not in self._missing:
            return PathFinder.find_spec(name, path, target)


def not_importable():
    """Each module that cannot be imported, with the error's type and its words."""
    for top in OURS:
        package = importlib.import_module(top)
        for each in pkgutil.walk_packages(package.__path__, f"{top}."):
            if each.name.endswith("__main__") or ".zoo.sources" in each.name:
                continue
            try:
                importlib.import_module(each.name)
            except ImportError as error:
                yield each.name, type(error).__name__, str(error)


if __name__ == "__main__":
    sys.meta_path[sys.meta_path.index(PathFinder)] = WithoutExtras()
    if sys.argv[1:]:
        from dux_agent.cli import main

        main()
    for row in not_importable():
        print(*row, sep="\t")
