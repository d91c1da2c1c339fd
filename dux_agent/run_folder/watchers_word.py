"""What whoever watches a run says to its training, as small files in the run folder.

control/watched             locked by the process that shows the run
control/paused              no decision is made while it is there
control/question-ID.json    a proposal waits for a word
control/answer-ID.json      the word

The training looks for them where a decision falls due and while it waits for a word;
a step of training costs none of it.
"""

import json
import re
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from dux_agent.run_folder.atomic import write_atomically
from dux_agent.run_folder.folder_lock import is_locked
from dux_agent.run_folder.own_files import own_folder, read_own
from dux_graphs.plain_json import NoPlainJson, read_json

# Why a decision was not made; a replay knows it by these words.
PAUSED = "decisions are paused by whoever watches the run (dux watch)"

# Characters of a word that goes back to the language model.
MOST_CHARACTERS = 4_000

_MOST_BYTES = 2**16
_MOST_QUESTIONS = 20
_MOST_ENTRIES = 1_000  # that are looked at
_NAME = re.compile(r"question-([0-9a-f]{16})\.json")


@dataclass(frozen=True)
class Question:
    """A proposal that waits for a person's word.

    Attributes:
        folder: the run folder.
        key: 16 hexadecimal digits, of this one question.
        decision: 1-based number of its decision.
        digest: of the source.
        here: whether a word that is said beside the run is heard; else the training
            asks in a way of its own.
    """

    folder: Path
    key: str
    decision: int
    digest: str
    here: bool

    @property
    def watched(self) -> bool:
        """Whether a process shows the run now; False where nobody can tell."""
        return is_locked(watched_file(self.folder))

    @property
    def answered(self) -> bool:
        """Whether a word was said."""
        return self._file("answer").exists()

    def answer(self) -> bool | str | None:
        """The word that was said: yes, no, or a text for the model; None: none yet."""
        try:
            said = read_json(read_own(self._file("answer"), _MOST_BYTES))
        except (OSError, NoPlainJson):
            return None
        word = said.get("answer") if isinstance(said, dict) else None
        return word if isinstance(word, bool | str) else None

    def say(self, word: bool | str) -> bool:
        """Answer it; False where somebody has, or nobody waits for it any more.

        Raises:
            OSError: the folder cannot be written.
        """
        if self.answered or not self._file("question").exists():
            return False
        _write(self._file("answer"), {"answer": word})
        return True

    def _file(self, kind: str) -> Path:
        return _control(self.folder) / f"{kind}-{self.key}.json"


@contextmanager
def asked(
    folder: Path, decision: int, proposal: Mapping[str, Any], *, here: bool
) -> Iterator[Question]:
    """A question that stands in the run folder in here.

    Raises:
        OSError: the folder cannot be written.
    """
    digest = str(proposal["digest"])
    question = Question(folder, secrets.token_hex(8), decision, digest, here)
    told = {"decision": decision, "digest": digest, "here": here}
    _write(question._file("question"), told)
    try:
        yield question
    finally:
        with suppress(OSError):
            question._file("question").unlink()
        with suppress(OSError):
            question._file("answer").unlink()


def questions(folder: Path) -> list[Question]:
    """Those that stand in the run folder; what is no question is passed over."""
    found: list[Question] = []
    with suppress(OSError):
        own_folder(_control(folder))
        for path in islice(_control(folder).iterdir(), _MOST_ENTRIES):
            question = _question_in(folder, path)
            if question is not None:
                found.append(question)
    return sorted(found, key=lambda each: (each.decision, each.key))[:_MOST_QUESTIONS]


def _question_in(folder: Path, path: Path) -> Question | None:
    named = _NAME.fullmatch(path.name)
    if named is None:
        return None
    try:
        told = read_json(read_own(path, _MOST_BYTES))
        decision, digest, here = told["decision"], told["digest"], told["here"]
    except (OSError, NoPlainJson, LookupError, TypeError):
        return None
    if type(decision) is not int or not isinstance(digest, str):
        return None
    return Question(folder, named[1], decision, digest, here is True)


def forget_questions(folder: Path) -> None:
    """Take away what a process that was killed had asked; its lock must be held."""
    with suppress(OSError):
        own_folder(_control(folder))
        for path in _control(folder).iterdir():
            if path.name.startswith(("question-", "answer-")):
                path.unlink()


def paused(folder: Path) -> bool:
    """Whether no decision is to be made; costs a look at one name."""
    return (_control(folder) / "paused").exists()


def pause(folder: Path, *, on: bool) -> None:
    """Have no decision made from now on, or have them made again.

    Raises:
        OSError: the folder cannot be written.
    """
    if on:
        _write(_control(folder) / "paused", {})
    else:
        own_folder(_control(folder))
        (_control(folder) / "paused").unlink(missing_ok=True)


def watched_file(folder: Path) -> Path:
    """The file that is locked by the process that shows a run."""
    return _control(folder) / "watched"


def _control(folder: Path) -> Path:
    return folder / "control"


def _write(path: Path, said: Mapping[str, Any]) -> None:
    own_folder(path.parent)
    path.parent.mkdir(exist_ok=True)
    write_atomically(path, json.dumps(said).encode("ascii"))
