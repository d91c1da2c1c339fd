"""The MCP server: four tools over stdin and stdout, one call at work at a time."""

import os
import threading
from collections.abc import Callable
from importlib import metadata
from typing import Annotated, Any, TypeVar

import anyio
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import ToolAnnotations
from pydantic import Field

from dux_agent.errors import DuxError
from dux_agent.showing import one_line
from dux_agent.tool_server.answers import Answers, FuzzRequest

_T = TypeVar("_T")

MOST_WAITING = 8  # calls that wait for the one at work
_MOST_SAID = 1500  # characters of why a call is refused
INSTRUCTIONS = " ".join(
    """
    Vets PyTorch optimizers before anybody trains with them. Call `check` on a class
    that you wrote: a static check, then ten steps in a locked-down process; each
    finding names the line and what to write instead. Then call `fuzz`: the laws that
    every optimizer owes its user; each broken one comes with a script that shows it.
    `trace` and `report` read the run folder that `dux run` or `attach` left. Paths are
    seen from the folder that the server was started for, and nothing outside it can be
    named.
    """.split()
)

_Source = Annotated[
    str | None,
    Field(description="The Python text of one optimizer; give this or path."),
]
_Path = Annotated[
    str | None,
    Field(description="A Python file under the server's folder; give this or source."),
]
_Classes = Annotated[
    list[str] | None, Field(description="Only these classes of the source.")
]
_Beside = Annotated[
    list[str] | None,
    Field(description="Files that it imports: judged together, as one source."),
]
_Options = Annotated[
    list[str] | None,
    Field(description="NAME=VALUE of its constructor, in place of its defaults."),
]
_Folder = Annotated[str, Field(description="A run folder under the server's folder.")]
_ONLY_READS = ToolAnnotations(
    read_only_hint=True, idempotent_hint=True, open_world_hint=False
)
_WRITES_A_PAGE = ToolAnnotations(
    read_only_hint=False,
    destructive_hint=False,
    idempotent_hint=True,
    open_world_hint=False,
)


class Lane:
    """Lets calls work one after another, in a thread beside the protocol's.

    torch's global modes are one for the process, and so is the machine.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._busy = False
        self._waiting = 0

    @property
    def busy(self) -> bool:
        """Whether a call is at work."""
        return self._busy

    async def run(self, work: Callable[[Callable[[], bool]], _T]) -> _T:
        """Do `work` when its turn comes, and return what it returns.

        Args:
            work: is given a function that tells whether the call was given up since.

        Raises:
            ToolError: too many are waiting, or the work raised a DuxError.
        """
        if self._waiting > MOST_WAITING:
            raise ToolError(
                f"{MOST_WAITING} calls are waiting already; at most so many may; wait "
                f"for an answer before the next call."
            )
        gone = threading.Event()

        def turn() -> _T:
            with self._changed:
                self._changed.wait_for(lambda: gone.is_set() or not self._busy)
                if gone.is_set():
                    raise ToolError("the call was given up before its turn")
                self._busy = True
            try:
                return work(gone.is_set)
            finally:
                with self._changed:
                    self._busy = False
                    self._changed.notify_all()

        self._waiting += 1
        try:
            # A thread cannot be ended: whoever gave up does not wait for it, and it
            # stops by itself at the next law or class, or before its turn.
            return await anyio.to_thread.run_sync(turn, abandon_on_cancel=True)
        except DuxError as error:
            # It may quote what the client said, at any length.
            raise ToolError(one_line(str(error), _MOST_SAID)) from None
        finally:
            self._waiting -= 1
            with self._changed:
                gone.set()
                self._changed.notify_all()


def build(answers: Answers, lane: Lane) -> MCPServer:
    """The server with its tools; it talks to nobody yet."""
    server = MCPServer(
        "dux",
        title="dux-agent",
        instructions=INSTRUCTIONS,
        version=metadata.version("dux-agent"),
        log_level="WARNING",
    )

    @server.tool(annotations=_ONLY_READS)
    async def check(
        source: _Source = None,
        path: _Path = None,
        classes: _Classes = None,
        beside: _Beside = None,
        options: _Options = None,
        static: Annotated[
            bool, Field(description="Only read the source; run nothing.")
        ] = False,
    ) -> dict[str, Any]:
        """Check an optimizer: is it allowed, and does it do no harm in ten steps?

        Answers ok, and findings: each with the rule broken, the line, and what to write
        instead. The dry run is made in a locked-down process.
        """
        return await lane.run(
            lambda given_up: answers.check(
                source,
                path,
                classes=classes or (),
                beside=beside or (),
                options=options or (),
                static=static,
                given_up=given_up,
            )
        )

    @server.tool(annotations=_ONLY_READS)
    async def fuzz(
        context: Context,
        source: _Source = None,
        path: _Path = None,
        classes: _Classes = None,
        beside: _Beside = None,
        options: _Options = None,
        examples: Annotated[
            int, Field(description="Cases drawn for each law; 0: made by hand only.")
        ] = 10,
        skip: Annotated[
            list[str] | None, Field(description="Names of laws to leave out.")
        ] = None,
        also: Annotated[
            list[str] | None, Field(description="Optional laws: capturable, compiled.")
        ] = None,
        seed: Annotated[int, Field(description="Of what is drawn.")] = 0,
        seconds: Annotated[
            float, Field(description="After which no further law is begun.")
        ] = 300.0,
    ) -> dict[str, Any]:
        """Try the laws of an optimizer on a source, in a locked-down process.

        Answers ok, and for each law a verdict (kept, broken, relaxed, unjudged), the
        law's claim, a message, and for a broken one a script that shows it with torch
        alone. A docstring line such as `dux: clips-gradients` declares a trait.
        """
        request = FuzzRequest(examples, skip or (), also or (), seed, seconds)
        tried = 0

        def told(result: Any) -> None:
            nonlocal tried
            tried += 1
            message = f"{result.name}: {result.verdict}"
            anyio.from_thread.run(context.report_progress, tried, None, message)

        return await lane.run(
            lambda given_up: answers.fuzz(
                source,
                path,
                request,
                classes=classes or (),
                beside=beside or (),
                options=options or (),
                on_result=told,
                given_up=given_up,
            )
        )

    @server.tool(annotations=_ONLY_READS)
    async def trace(
        folder: _Folder,
        decision: Annotated[
            int | None,
            Field(description="Only this one, whole: prompt, reply, findings, source."),
        ] = None,
    ) -> dict[str, Any]:
        """Tell the decisions of a run: verdicts, reasons, losses before and after.

        Long texts are cut, and say so.
        """
        return await lane.run(lambda _: answers.trace(folder, decision=decision))

    @server.tool(annotations=_WRITES_A_PAGE)
    async def report(folder: _Folder) -> dict[str, Any]:
        """Write report.html, one self-contained page of a run, into its folder."""
        return await lane.run(lambda _: answers.report(folder))

    return server


def serve(answers: Answers) -> None:
    """Talk to one client over stdin and stdout until it closes them."""
    lane = Lane()
    build(answers, lane).run("stdio")
    if lane.busy:
        # Nobody waits for that answer, and Python would wait for its thread. With this
        # process its jailed ones end as well.
        os._exit(0)
