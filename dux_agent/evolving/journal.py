"""The journal of a search: what was found out once is never found out again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dux_agent.run_folder.folder import RunFolder
from dux_agent.run_folder.trace import iterate
from dux_graphs.evolution.individual import Individual
from dux_sandbox.findings import digest_of

EXAMINED, PARTS = "examined", "examined in parts"
"""Stages before the trainings: of an individual, and of a winner's shorter twins."""

Entry = Mapping[str, Any]
"""`{"arm", "stage", ...}`: what an event of kind "trial" reports."""


class Journal:
    """Entries of a run folder, by search, individual and stage."""

    def __init__(self, folder: RunFolder) -> None:
        """The journal of a folder; what was written before it was opened is read."""
        self._folder = folder
        self._known: dict[tuple[str, str, str], Entry] = {}
        for event in iterate(folder.path) if folder.opened else ():
            if event.kind == "trial":
                entry = event.data["report"]
                digest = event.data["config"]["source"]
                self._known[entry["arm"], digest, entry["stage"]] = entry
        # From here on it is this journal that says what was told before.
        folder.go_on_from((folder.path / "trace.jsonl").stat().st_size)

    def known(self, arm: str, one: Individual, stage: str) -> dict[str, Any] | None:
        """What was found out before."""
        found = self._known.get((arm, digest_of(one.draft.source), stage))
        return None if found is None else dict(found["answer"])

    def keep(
        self, arm: str, one: Individual, stage: str, answer: Entry, **more: Any
    ) -> None:
        """Write down what was found out, with `more` for those who read."""
        digest = self._folder.keep_source(one.draft.source)
        if stage in (EXAMINED, PARTS):
            # A winner that is made shorter may be one that was met before.
            self._known[arm, digest, stage] = {"answer": dict(answer)}
        self._folder.event(
            "trial",
            step=0,
            decision=one.number,
            data={
                "number": one.number,
                "config": {"source": digest},
                "report": {
                    "arm": arm,
                    "stage": stage,
                    "operator": one.operator,
                    "parents": list(one.parents),
                    "island": one.island,
                    "answer": dict(answer),
                    **more,
                },
                "state": "failed" if "why" in answer else "done",
                "by": one.operator,
                "why": one.draft.thought,
                "error": str(answer.get("why", "")),
                "seconds": float(answer.get("seconds", 0.0)),
            },
        )
