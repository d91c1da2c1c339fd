"""Settings of every test, made before torch is loaded."""

import faulthandler
import gc
import os
import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from dux_sandbox.process.keeping import kept_warm

# The tensors here are small, and the machines that run these tests are shared: with
# two OpenMP teams on two busy cores (the trainer's and a rule's process) a step of
# 0.6 ms took 9 to 23 ms.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# What else is set where they run must not decide what is printed, hidden or asked.
_FOREIGN = re.compile(
    "_proxy$|KEY|TOKEN|SECRET|PASSWORD"
    "|^(FORCE_COLOR|NO_COLOR|PY_COLORS|GITHUB_ACTIONS|LANGSMITH|LANGCHAIN|OPENAI|OLLAMA)",
    re.IGNORECASE,
)
for _name in filter(_FOREIGN.search, list(os.environ)):
    del os.environ[_name]
os.environ["COLUMNS"] = "80"

_TOLD_ON = pytest.StashKey[int]()
_GRACE = 60  # seconds that a test which was late may take to clean up

ATTACKS = Path(__file__).parent / "attacks"

# Nor does a slow moment of theirs count as a fault, nor what one run alone has drawn:
# `pytest --hypothesis-profile anew` draws other cases each time.
_CALM = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("anew", **_CALM)
settings.register_profile("shared machine", **_CALM, derandomize=True)
settings.load_profile("shared machine")


def pytest_collection_modifyitems(items):
    """The attack suite is part of the wall, in whatever file of its folder."""
    for item in items:
        if ATTACKS in item.path.parents:
            item.add_marker(pytest.mark.wall)


def pytest_configure(config):
    """Keep the stream that a run is told on: in a test it is captured."""
    config.stash[_TOLD_ON] = os.dup(2)


def limit_of(item):
    """Seconds that pytest-timeout gives a test; 0: it has no limit."""
    marker = item.get_closest_marker("timeout")
    if marker is not None:
        return float(marker.args[0] if marker.args else marker.kwargs["timeout"])
    said = item.config.getoption("timeout", None)
    if said is None:
        said = os.environ.get("PYTEST_TIMEOUT") or item.config.getini("timeout")
    return float(said)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item):
    """End a process of pytest-xdist that hangs, and say where it does.

    The limit of pytest-timeout is an exception in the main thread, raised once: what
    waits in C, or in a `finally`, hears nothing of it, and the run would never end.
    """
    if not hasattr(item.config, "workerinput"):  # somebody may be debugging
        return (yield)
    limit = limit_of(item)
    if not limit:
        return (yield)
    told_on = item.config.stash[_TOLD_ON]
    faulthandler.dump_traceback_later(limit + _GRACE, exit=True, file=told_on)
    try:
        return (yield)
    finally:
        faulthandler.cancel_dump_traceback_later()


@pytest.hookimpl(optionalhook=True)
def pytest_handlecrashitem(crashitem):
    """End the run when a process of pytest-xdist is gone.

    With `--dist loadfile` it waits for ever for what that process had still to run.
    """
    pytest.exit(f"the process that ran {crashitem} is gone", returncode=3)


@pytest.fixture(scope="module", autouse=True)
def few_objects():
    """Leave what is there by now out of every look at all objects.

    Each swap looks for schedulers among the objects of the process: 300,000 at first,
    most of them modules and tests, 40 ms a time, and more with every file of tests.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def warm_processes():
    """One for all tests: each costs two seconds, and most tests close their agent."""
    with kept_warm():
        yield
