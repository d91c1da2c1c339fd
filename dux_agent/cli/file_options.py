"""Options that `dux check` and `dux fuzz` share."""

from typing import Annotated

import typer

Classes = Annotated[
    list[str] | None,
    typer.Option(
        "--class", metavar="NAME", help="Only this class; may be given again."
    ),
]
Given = Annotated[
    list[str] | None,
    typer.Option(
        "--option",
        metavar="NAME=VALUE",
        help="Try it with this argument of its constructor, in place of its default; "
        "may be given again.",
    ),
]
Beside = Annotated[
    list[str] | None,
    typer.Option(
        "--with",
        metavar="FILE|DIR",
        help="A file that is imported, or a folder of them: what is used is judged "
        "together, as one source; may be given again.",
    ),
]
