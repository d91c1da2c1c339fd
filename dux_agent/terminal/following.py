"""`dux trace DIR --follow`: the trace of a run while it goes on."""

import time
from collections.abc import Callable
from pathlib import Path

from rich.console import Console, Group
from rich.live import Live

from dux_agent.formatting import loss_text
from dux_agent.run_folder.events import LossEvent, RollbackEvent
from dux_agent.run_folder.folder_lock import is_locked
from dux_agent.run_folder.kept_sources import read_kept_source
from dux_agent.run_folder.trace import Event
from dux_agent.run_folder.trace_growth import Follower
from dux_agent.run_history.reading import SourceOf, story_of
from dux_agent.run_history.summary import summary
from dux_agent.showing import one_line
from dux_agent.terminal.report_text import say
from dux_agent.terminal.tables import trace_table, went_back_table
from dux_graphs.events import ApplyEvent, ErrorEvent

_SECONDS_BETWEEN_LOOKS = 0.5


def follow(
    console: Console, folder: Path, *, sleep: Callable[[float], None] = time.sleep
) -> None:
    """Show what happens until no process writes the folder any more.

    On a terminal the table of decisions is drawn anew as it grows; elsewhere one line
    is printed for each epoch and each decision. Looks twice a second.

    Args:
        console: where to.
        folder: the run folder.
        sleep: waits that many seconds.
    """

    def source_of(digest: str) -> str | None:
        return read_kept_source(folder, digest)

    follower = Follower(folder)
    kept: list[Event] = []
    with Live(console=console, auto_refresh=False, transient=False) as live:
        while True:
            # Asked before reading: what is written until the writer ends is read.
            written = is_locked(follower.trace)
            news = [event for event in follower.news() if _matters(event)]
            kept += news
            if console.is_terminal:
                if news:
                    run = story_of(folder, {}, kept, source_of)
                    tables = [trace_table(run)]
                    if run.went_back:
                        tables.append(went_back_table(run))
                    live.update(Group(*tables), refresh=True)
            else:
                for event in news:
                    _say(console, event, source_of)
            if not written:
                return
            sleep(_SECONDS_BETWEEN_LOOKS)


def _matters(event: Event) -> bool:
    """Whether it is more than the loss of one step."""
    return not isinstance(event.body, LossEvent) or event.body.scope is not None


def _say(console: Console, event: Event, source_of: SourceOf) -> None:
    body = event.body
    text = ""
    who = "guard" if event.decision is None else f"decision {event.decision}"
    if isinstance(body, LossEvent):
        course = "control" if body.scope == "control" else "agent"
        means = (("train", body.loss), ("val", body.val), ("test", body.test))
        losses = " ".join(f"{name} {loss_text(mean)}" for name, mean in means)
        text = f"{course} epoch {body.epoch}: {losses}"
    elif isinstance(body, ApplyEvent):
        about = summary(source_of(body.digest or ""), 60)
        text = f"decision {event.decision}: {body.verdict} {about}"
    elif isinstance(body, RollbackEvent):
        text = f"{who}: rolled_back {body.reason}"
    elif isinstance(body, ErrorEvent):
        where = "" if event.decision is None else f"decision {event.decision}: "
        text = f"{where}error {body.message}"
    if text:
        say(console, one_line(text))
