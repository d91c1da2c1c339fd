"""What the `run.json` of a run folder says."""

from __future__ import annotations

import json
import platform
import time
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import Any

from dux_agent.errors import RunFolderUnusable

FORMAT = 1

_PACKAGES = (
    "dux-agent",
    "torch",
    "langgraph",
    "langchain-core",
    "langchain-openai",
    "RestrictedPython",
)


def read_facts(path: str | Path) -> dict[str, Any]:
    """What the `run.json` of a run folder says.

    Raises:
        RunFolderUnusable: it is no run folder, or of a newer format.
    """
    path = Path(path)
    try:
        facts = json.loads((path / "run.json").read_bytes())
    except (OSError, ValueError):
        raise RunFolderUnusable(
            f"{path} is no run folder: it holds no readable run.json; "
            f"name a folder that `dux run` printed."
        ) from None
    if not isinstance(facts, dict) or facts.get("format") != FORMAT:
        raise RunFolderUnusable(
            f"{path} is a run folder of another format; format {FORMAT} was wanted; "
            f"read it with the dux-agent that wrote it."
        )
    return facts


def surroundings() -> dict[str, Any]:
    """What every `run.json` says: format, time, versions, platform."""
    versions = {"python": platform.python_version()}
    for package in _PACKAGES:
        with suppress(metadata.PackageNotFoundError):
            versions[package] = metadata.version(package)
    return {
        "format": FORMAT,
        "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "versions": versions,
        "platform": platform.platform(),
    }
