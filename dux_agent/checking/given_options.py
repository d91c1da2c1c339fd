"""Options that a file's optimizers are tried with, in place of their own defaults."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from dux_agent.checking.vetted import Told
from dux_agent.errors import BadArgument
from dux_sandbox.findings import Finding
from dux_sandbox.gathering.text_edits import Edit, edited

_INSTEAD = "write it into the file as the default: a training gives none"
_WANTED = "pass NAME=VALUE with a number, a text in quotes, True, None, or a tuple"


@dataclass(frozen=True)
class GivenOptions:
    """Values by the names of a constructor's arguments, as Python writes them."""

    values: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, said: Sequence[str]) -> GivenOptions:
        """Read `NAME=VALUE`.

        >>> GivenOptions.of(["momentum=0.9", "betas=(0.9,0.99)"]).values
        {'momentum': '0.9', 'betas': '(0.9, 0.99)'}

        Raises:
            BadArgument: one is not of this form.
        """
        values = {}
        for each in said:
            name, _, value = (part.strip() for part in each.partition("="))
            try:
                ast.literal_eval(value)
                values[name] = ast.unparse(ast.parse(value, mode="eval"))
            except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
                why = f"{value!r} is no plain value" if value else "no value is given"
                raise BadArgument(f"--option {each}: {why}; {_WANTED}.") from None
            if not name.isidentifier():
                raise BadArgument(
                    f"--option {each}: {name!r} is no name of an argument; {_WANTED}."
                )
        return cls(values)

    def put_into(self, file: str, text: str) -> tuple[str, list[Told]]:
        """The text of a file with the values as defaults, and a note on each of them.

        Every line stays in its place.

        Raises:
            BadArgument: no constructor of the file has such an argument, or one that
                follows it has no default.
        """
        try:
            classes = [*_classes(ast.parse(text))]
        except (SyntaxError, ValueError, RecursionError):
            return text, []  # the check says why it cannot be read
        held = [(init, dict(_defaults(init))) for init in classes]
        for name in self.values:
            if not any(name in usual for _, usual in held):
                named = list(dict.fromkeys(each for _, usual in held for each in usual))
                has = f"they have {', '.join(named)}" if named else "it has none"
                raise BadArgument(
                    f"--option {name}: no constructor of {file} has an argument of "
                    f"that name; {has}; name one of them."
                )
        edits, notes = [], []
        for init, usual in held:
            self._check_order(init)
            for name, value in self.values.items():
                if name in usual:
                    edits.append(_edit(usual[name], value))
                    message = f"it is judged with {name}={value}"
                    found = Finding("option", usual[name][0].lineno, message, _INSTEAD)
                    notes.append(Told(file, found))
        lines, _ = edited(text.split("\n"), edits)
        return "\n".join(lines), notes

    def _check_order(self, init: ast.FunctionDef) -> None:
        positional = [*init.args.posonlyargs, *init.args.args]
        own = len(positional) - len(init.args.defaults)
        given = ""
        for argument in positional[:own]:
            if argument.arg in self.values:
                given = argument.arg
            elif given:
                raise BadArgument(
                    f"--option {given}: {argument.arg} follows it without a default; "
                    f"give that one, too: --option {argument.arg}=VALUE."
                )


def _classes(tree: ast.Module) -> Iterator[ast.FunctionDef]:
    """The constructors of classes that are built on something."""
    for each in ast.walk(tree):
        if isinstance(each, ast.ClassDef) and each.bases:
            for method in each.body:
                if isinstance(method, ast.FunctionDef) and method.name == "__init__":
                    yield method


def _defaults(
    init: ast.FunctionDef,
) -> Iterator[tuple[str, tuple[ast.arg, ast.expr | None]]]:
    """By its name each argument after `self` and the parameters, and its default."""
    positional = [*init.args.posonlyargs, *init.args.args]
    lack: list[None] = [None] * (len(positional) - len(init.args.defaults))
    values = [*lack, *init.args.defaults, *init.args.kw_defaults]
    every = [*positional, *init.args.kwonlyargs]
    for argument, value in [*zip(every, values, strict=True)][2:]:
        yield argument.arg, (argument, value)


def _edit(place: tuple[ast.arg, ast.expr | None], value: str) -> Edit:
    argument, usual = place
    if usual is not None:
        return Edit.of(usual, value)
    end = (argument.end_lineno or argument.lineno, argument.end_col_offset or 0)
    return Edit(end, end, f"={value}" if argument.annotation is None else f" = {value}")


def only_for_one_file(
    files: int, names: Sequence[str], options: Sequence[str], *, folder: bool = False
) -> None:
    """Raise BadArgument where what is said of one file goes with several."""
    for option, said in (("--class", names), ("--option", options)):
        if said and (files > 1 or folder):
            raise BadArgument(
                f"{option} {said[0]} is for one file, and {files} are named; name the "
                f"file that holds it."
            )
