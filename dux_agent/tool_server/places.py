"""Which files a client of the tools may name: those under one folder, and no others."""

from dataclasses import dataclass
from pathlib import Path

from dux_agent.errors import BadArgument
from dux_agent.run_folder.own_files import read_own

# A source is refused from 64 KiB on, with a finding; this is what is read for that.
MOST_SOURCE_BYTES = 1 << 20
_MOST_SHOWN = 200


@dataclass(frozen=True)
class Named:
    """A source that a client named or sent.

    Attributes:
        name: as it was named; "source" where the text itself was sent.
        text: of the rule.
        file: where it lies; None where it was sent.
    """

    name: str
    text: str
    file: Path | None = None


class Places:
    """The folder under which a client may name files and run folders."""

    def __init__(self, root: str | Path) -> None:
        """Take the folder as it is now; a link to it is followed once.

        Raises:
            BadArgument: there is no such folder.
        """
        try:
            self.root = Path(root).resolve(strict=True)
        except (OSError, ValueError, RuntimeError):
            self.root = Path(root)
        if not self.root.is_dir():
            raise BadArgument(
                f"--root {root} is no folder; name the one in which the agent's files "
                f"lie."
            )

    def source(self, source: str | None, path: str | None) -> Named:
        """The source that is meant by one of the two.

        Args:
            source: the text itself, at most `MOST_SOURCE_BYTES` in UTF-8.
            path: a Python file under the root, absolute or seen from there.

        Raises:
            BadArgument: both or none are given, the file lies elsewhere, is no
                ordinary Python file, cannot be read, or is too large.
        """
        if (source is None) == (path is None):
            given = "both" if path is not None else "none of the two"
            raise BadArgument(
                f"{given} of source and path was given; one is wanted: the text of a "
                f"rule as source, or a Python file under {self.root} as path."
            )
        if path is None:
            text = source or ""
            size = len(text.encode("utf-8", "surrogatepass"))
            if size > MOST_SOURCE_BYTES:
                raise BadArgument(
                    f"source holds {size} bytes; at most {MOST_SOURCE_BYTES} are "
                    f"taken; send the class alone."
                )
            # A byte order mark is no part of the source, as in a file.
            return Named("source", text.removeprefix("\ufeff"))
        return self._read(path)

    def folder(self, path: str) -> Path:
        """A folder under the root.

        Raises:
            BadArgument: it lies elsewhere, or is no folder.
        """
        found = self._under_root("folder", path)
        if not found.is_dir():
            raise BadArgument(
                f"folder {_shown(path)} is no folder; a run folder under {self.root} "
                f"was wanted; `dux run` prints its name."
            )
        return found

    def _read(self, path: str) -> Named:
        file = self._under_root("path", path)
        wanted = f"a Python file (.py) under {self.root} was wanted"
        # Findings quote what they find: they must not be a way to read other files.
        if file.suffix != ".py":
            raise BadArgument(f"path {_shown(path)} does not end in .py; {wanted}.")
        try:
            content = read_own(file, MOST_SOURCE_BYTES)
            return Named(path, content.decode("utf-8-sig"), file)
        except OSError as error:
            why = error.strerror or str(error)
        except UnicodeDecodeError as error:
            why = f"it is no UTF-8 text (byte {error.start})"
        raise BadArgument(f"path {_shown(path)} cannot be read: {why}; {wanted}.")

    def _under_root(self, argument: str, path: str) -> Path:
        """Where a path really leads; links are followed before it is judged."""
        try:
            # What lies under no folder at all is judged like what lies elsewhere.
            found = (self.root / path).resolve()
        except (OSError, ValueError, RuntimeError) as error:
            raise BadArgument(
                f"{argument} {_shown(path)} cannot be followed: {error}; name what "
                f"lies under {self.root}."
            ) from None
        if not found.is_relative_to(self.root):
            raise BadArgument(
                f"{argument} {_shown(path)} leads out of {self.root}; only what lies "
                f"under it can be named; start `dux mcp --root DIR` with a folder "
                f"that holds both, or send the text as source."
            )
        return found


def _shown(path: str) -> str:
    return repr(path if len(path) <= _MOST_SHOWN else path[:_MOST_SHOWN] + "…")
