"""Where one page leads to another."""

from pathlib import Path

NAME = "report.html"


def own_page(path: Path) -> str:
    """Where the own page of a run folder is, if it has been written."""
    page = path.absolute() / NAME
    return page.as_uri() if page.is_file() else ""
