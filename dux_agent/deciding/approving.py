"""Who is asked about a proposal, and how the page of the run hears of it."""

import logging
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import partial
from typing import Any, Final, Literal, Protocol

from dux_agent.run_folder.recorder import Recorder
from dux_agent.run_folder.watchers_word import Question, asked
from dux_graphs.approval import Approve

log = logging.getLogger(__name__)

WATCH: Final = "watch"

Approver = Approve | Literal["watch"] | None
"""What `attach` takes: "watch" asks whoever watches the run (`dux watch`)."""

SECONDS_BETWEEN_LOOKS = 0.2


class Beside(Protocol):
    """A way of asking that also hears what is said in the page of the run."""

    def beside(self, proposal: Mapping[str, Any], question: Question) -> bool | str:
        """The word on a proposal, from wherever it comes first."""


def approver(
    approve: Approver,
    recorder: Recorder,
    decision: int,
    wait: Callable[[float], object],
    patience: float,
) -> Approve | None:
    """Who is asked about a proposal; the question stands in the run folder meanwhile.

    Args:
        approve: as `attach` takes it.
        recorder: of the run.
        decision: its number.
        wait: waits so many seconds; true where the agent is closed.
        patience: seconds that "watch" waits for a word.
    """
    folder = recorder.folder
    if approve is None or approve == "interrupt" or folder is None:
        return None if approve == WATCH else approve
    path = folder.path
    beside = getattr(approve, "beside", None)
    if approve == WATCH:
        beside = partial(_of_a_watcher, wait=wait, patience=patience)

    def ask(proposal: Mapping[str, Any]) -> bool | str:
        here = beside is not None
        with ExitStack() as stack:
            try:
                question = stack.enter_context(
                    asked(path, decision, proposal, here=here)
                )
            except OSError as error:
                log.warning("%s cannot be written: %s", path, error.strerror or error)
                return approve(proposal) if callable(approve) else False
            word: bool | str = (
                beside(proposal, question) if beside is not None else approve(proposal)  # type: ignore[operator]
            )
            return word

    return ask


def _of_a_watcher(
    proposal: Mapping[str, Any],
    question: Question,
    *,
    wait: Callable[[float], object],
    patience: float,
) -> bool | str:
    log.warning(
        "decision %d waits for a word: dux watch %s", question.decision, question.folder
    )
    end = time.monotonic() + patience
    while time.monotonic() < end:
        said = question.answer()
        if said is not None:
            return said
        if wait(SECONDS_BETWEEN_LOOKS):
            return False
    log.warning(
        "nobody has said a word on decision %d in %g seconds; what is live stays",
        question.decision,
        patience,
    )
    return False
