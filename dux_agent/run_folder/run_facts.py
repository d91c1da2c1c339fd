"""What the `run.json` of a run folder says."""

import platform
import time
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import Any

from pydantic import ConfigDict, TypeAdapter
from typing_extensions import TypedDict

from dux_agent.errors import RunFolderUnusable
from dux_agent.run_folder.own_files import read_own
from dux_graphs.plain_json import NoPlainJson, read_json
from dux_graphs.read_back import read_back

FORMAT = 1


class RunFacts(TypedDict, total=False):
    """What was run, where, and with what; a newer version may say more.

    Attributes:
        format: of the whole folder.
        created: in UTC, such as "2026-11-01T12:00:00Z".
        versions: of Python and of the packages that matter, by name.
        platform: the machine and its system.
        run: what the folder was called when it was made.
        task: its name, or the caller's words for it.
        seed: of the run.
        model: what the run calls its language models.
        arguments: of `dux run`, or of `attach`.
    """

    __pydantic_config__ = ConfigDict(strict=True, extra="allow")  # type: ignore[misc]

    format: int
    created: str
    versions: dict[str, str]
    platform: str
    run: str
    task: str | None
    seed: int | str | None
    model: str | None
    arguments: dict[str, Any] | None


_FACTS: TypeAdapter[RunFacts] = TypeAdapter(RunFacts)

_MOST_BYTES = 2**20

_PACKAGES = (
    *("dux-agent", "torch", "langgraph", "langchain-core", "langchain-openai"),
    *("RestrictedPython",),
)


def read_facts(path: str | Path) -> dict[str, Any]:
    """What the `run.json` of a run folder says.

    Raises:
        RunFolderUnusable: it is no run folder, or of a newer format.
    """
    path = Path(path)
    try:
        facts = read_json(read_own(path / "run.json", _MOST_BYTES))
    except FileNotFoundError:
        raise _no_run_folder(path, "there is none") from None
    except OSError as error:
        raise _no_run_folder(path, error.strerror or str(error)) from None
    except NoPlainJson as error:
        raise _no_run_folder(path, str(error)) from None
    if not isinstance(facts, dict):
        raise _no_run_folder(path, f"it is a {type(facts).__name__}, no object")
    if facts.get("format") != FORMAT:
        raise RunFolderUnusable(
            f"{path} is a run folder of another format; format {FORMAT} was wanted; "
            f"read it with the dux-agent that wrote it."
        )
    try:
        read_back(_FACTS, facts)
    except ValueError as fault:
        raise RunFolderUnusable(f"run.json in {path} is damaged: {fault}.") from None
    return facts


def _no_run_folder(path: Path, why: str) -> RunFolderUnusable:
    return RunFolderUnusable(
        f"{path} is no run folder: it holds no readable run.json ({why}); "
        f"name a folder that `dux run` or `dux tune` printed."
    )


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
