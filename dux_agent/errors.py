"""The errors a user of dux-agent can meet: one family, each message one line.

A message says what was found, what was wanted and what to do. The command line
prints it and ends with exit code 2, so an error of this family is never a bug of
ours and never a fault of a rule: those are findings, not exceptions.
"""

from __future__ import annotations

from dux_agent.showing import one_line


class DuxError(Exception):
    """The parent of everything that a user can mend.

        DuxError
        ├── BadArgument      (also ValueError)         an argument that cannot be meant
        ├── MissingExtra     (also ImportError)        an optional package is not there
        ├── DataMissing      (also FileNotFoundError)  a task's data cannot be found
        ├── RanksLost        (also RuntimeError)       ranks do not hear of each other
        ├── RunFolderExists  (also FileExistsError)    a run folder would be overwritten
        ├── RunFolderUnusable  (also OSError)          it cannot be made, read, written
        └── TrainingDiverged  (also ArithmeticError)   no rollback helps any more

    >>> str(DuxError("every is 0;\\n  it must be >= 1"))
    'every is 0; it must be >= 1'
    """

    def __init__(self, message: str) -> None:
        # One line whatever was quoted in it: a library's message may hold several.
        # It may quote a file that anybody wrote, and a terminal obeys what it is shown.
        super().__init__(one_line(message))


class BadArgument(DuxError, ValueError):
    """An argument is not what its function takes."""


class MissingExtra(DuxError, ImportError):
    """Something optional is not installed; the message ends in the `pip install`."""

    @classmethod
    def of(cls, package: str, *, extra: str, purpose: str) -> MissingExtra:
        """The error for `package`, which `purpose` needs and `extra` brings.

        >>> str(MissingExtra.of("datasets", extra="tasks", purpose="the task mnist"))
        "datasets is not installed; the task mnist needs it; pip install 'dux-agent[tasks]'"
        """  # noqa: E501
        return cls(
            f"{package} is not installed; {purpose} needs it; "
            f"pip install 'dux-agent[{extra}]'"
        )


class DataMissing(DuxError, FileNotFoundError):
    """The data of a task are not where they were looked for."""


class RanksLost(DuxError, RuntimeError):
    """Several ranks train one model, and one of them is gone or has failed."""


class RunFolderExists(DuxError, FileExistsError):
    """A run folder of that name holds something already; nothing was written."""


class TrainingDiverged(DuxError, ArithmeticError):
    """A run without a language model did harm to itself again and again.

    The weights are those of the last good snapshot.
    """


class RunFolderUnusable(DuxError, OSError):
    """A run folder cannot be made, read or written."""
