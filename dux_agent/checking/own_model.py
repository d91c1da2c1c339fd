"""`--model module:build`: finds the user's own function, and has it build a model."""

import importlib
import importlib.util
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from types import ModuleType
from typing import Any

from dux_agent.checking.model_parts import trial_of
from dux_agent.checking.trying import Trial
from dux_agent.errors import BadArgument


def model_for(named: str, *, static: bool = False) -> Trial:
    """Import a module, call the function and make a trial of what it returns.

    The module is the user's own code: it runs in this process, as it does in training.
    What it prints goes to stderr.

    Args:
        named: "module:function", or "file.py:function".
        static: whether nothing is to be run.

    Raises:
        BadArgument: there is no such function, it raises, or it returns something
            else; or nothing is to be run.
    """
    if static:
        raise BadArgument(
            f"--model {named} is for the dry run, and --static leaves that out; give "
            f"one of them."
        )
    module_name, colon, name = named.rpartition(":")
    if not colon or not module_name or not name:
        raise BadArgument(
            f"--model {named} names no function; write --model module:function."
        )
    with _importing(module_name), redirect_stdout(sys.stderr):
        build = _function(named, module_name, name)
        try:
            made = build()
        # The user's own code: what it raises is told in one line, not as a traceback.
        except (Exception, SystemExit) as error:
            raise BadArgument(
                f"--model {named}: it raised {type(error).__name__}: {error}; correct "
                f"it."
            ) from None
        try:
            return trial_of(made)
        except BadArgument as error:
            raise BadArgument(f"--model {named}: {error}") from None


@contextmanager
def _importing(module: str) -> Iterator[None]:
    """The folder of the module first on the path; afterwards last.

    What is imported late is still found there, and nothing that lies in it takes the
    place of a module that is installed: rules' processes get this path as well.
    """
    here = os.getcwd()
    if module.endswith(".py"):
        here = os.path.dirname(os.path.abspath(module))
    sys.path.insert(0, here)
    try:
        yield
    finally:
        sys.path.remove(here)
        if here not in sys.path:
            sys.path.append(here)


def _function(named: str, module_name: str, name: str) -> Callable[[], Any]:
    try:
        found: Any = _module(module_name)
    # The user's own code runs as it is imported.
    except (Exception, SystemExit) as error:
        raise BadArgument(
            f"--model {named}: {module_name} cannot be imported: "
            f"{type(error).__name__}: {error}; name a module that can be imported from "
            f"here, or a file."
        ) from None
    for part in name.split("."):
        found = getattr(found, part, None)
    if not callable(found):
        raise BadArgument(
            f"--model {named}: {module_name} has no function {name}; name one that it "
            f"has."
        )
    built: Callable[[], Any] = found
    return built


def _module(name: str) -> ModuleType:
    if not name.endswith(".py"):
        return importlib.import_module(name)
    if not os.path.isfile(name):
        raise FileNotFoundError(f"there is no file {name}")
    stem = os.path.splitext(os.path.basename(name))[0]
    spec = importlib.util.spec_from_file_location(stem, name)
    if spec is None or spec.loader is None:
        raise ImportError(f"{name} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[stem] = module
    spec.loader.exec_module(module)
    return module
