"""Writes the page of a run, or of several: one file, whole or not at all."""

import base64
import hashlib
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from dux_agent.errors import BadArgument
from dux_agent.evolving.evolve import is_search
from dux_agent.evolving.reading import SearchTold, read_in_words, read_search
from dux_agent.report.comparison_view import comparison_view
from dux_agent.report.links import NAME
from dux_agent.report.money import Prices
from dux_agent.report.run_view import run_view
from dux_agent.report.search_view import search_view
from dux_agent.report.studies_view import studies_view
from dux_agent.report.study_view import study_view
from dux_agent.report.thinning import visible
from dux_agent.run_folder.whole_file import write_whole
from dux_agent.run_history.reading import read_story
from dux_agent.run_history.records import RunHistory
from dux_agent.tuning.reading import StudyTold, read_study
from dux_agent.tuning.recorded_study import is_study

COMPARISON = "comparison.html"

MOST_BYTES = 1_900_000
# Characters of a text that are shown; the first with which the page is small enough.
_LIMITS = (40_000, 12_000, 4_000, 1_200, 300)


def write_report(
    folders: Sequence[str | Path],
    *,
    output: str | Path | None = None,
    prices: Prices | None = None,
) -> Path:
    """Write the page of one run folder, or one that compares several.

    Args:
        folders: run folders; nothing in them is changed but `report.html`.
        output: where to write; None: `report.html` in the folder, and for several
            `comparison.html` beside the first of them.
        prices: of the language model; None: money is unknown.

    Returns:
        The file that was written.

    Raises:
        RunFolderUnusable: one of them is no run folder; nothing was written.
        DuxError: the page cannot be written there; what was there still is.
    """
    if not folders:
        raise BadArgument(
            "no run folder was named; name one that `dux run` or `dux tune` printed."
        )
    paths = [Path(folder) for folder in folders]
    searches = [path for path in paths if is_search(path)]
    studies = [path for path in paths if is_study(path)]
    single = len(paths) == 1
    if searches and not single:
        raise BadArgument(
            f"{searches[0]} holds a search and {len(paths)} folders were named; one "
            f"was wanted, since searches are not compared; name them one by one."
        )
    if studies and len(studies) < len(paths):
        other = next(path for path in paths if path not in studies)
        raise BadArgument(
            f"{studies[0]} holds a study and {other} a training; folders of one kind "
            f"were wanted, since only those are compared; name them apart."
        )
    runs = [] if studies or searches else [read_story(path) for path in paths]
    if output is not None:
        target = Path(output)
    elif single:
        target = paths[0] / NAME
    else:
        target = paths[0].absolute().parent / COMPARISON
    prices = prices or Prices()
    if searches:
        with read_in_words(paths[0]):
            text = render_search(read_search(paths[0]))
    elif studies and not single:
        text = render_studies([read_study(path) for path in paths], prices)
    elif studies:
        text = render_study(read_study(paths[0]))
    elif single:
        text = render_run(runs[0], prices)
    else:
        text = render_comparison(runs, prices)
    write_whole(target, text, what="the report", option="--output")
    return target


def render_run(run: RunHistory, prices: Prices) -> str:
    """The page of one run, HTML; under `MOST_BYTES` where shorter texts make it so."""
    return render_bounded("run.html.j2", lambda most: run_view(run, prices, most))


def render_study(told: StudyTold, *, live: bool = False) -> str:
    """The page of a study, HTML; bounded as that of a run is."""
    return render_bounded(
        "study.html.j2", lambda most: study_view(told, most), live=live
    )


def render_search(told: SearchTold) -> str:
    """The page of a search, HTML; bounded as that of a run is."""
    return render_bounded("search.html.j2", lambda most: search_view(told, most))


def render_bounded(
    template: str, view: Callable[[int], Mapping[str, Any]], *, live: bool = False
) -> str:
    """A page, HTML; under `MOST_BYTES` where shorter texts make it so.

    Args:
        template: its name.
        view: its values, where so many characters of each text are shown.
        live: it is served, and stays current.
    """
    text = ""
    for most in _LIMITS:
        text = render(template, view(most), live=live)
        if len(text.encode("utf-8", "replace")) <= MOST_BYTES:
            break
    return text


def render_comparison(runs: Sequence[RunHistory], prices: Prices) -> str:
    """The page that compares several runs, HTML."""
    return render("comparison.html.j2", comparison_view(runs, prices))


def render_studies(studies: Sequence[StudyTold], prices: Prices) -> str:
    """The page that compares several studies, HTML."""
    return render("studies.html.j2", studies_view(studies, prices))


def render_methods(page: Mapping[str, Any]) -> str:
    """The page that compares methods of tuning, HTML."""
    return render("methods.html.j2", page)


def render(template: str, page: Mapping[str, Any], *, live: bool = False) -> str:
    """A page of these values, HTML; a `live` one is served, and stays current."""
    return (
        _environment()
        .get_template(template)
        .render(
            page=page,
            live=live,
            policy=Markup(policy(live=live)),
            style=Markup(_asset("page.css")),
            scripts=[Markup(_asset(name)) for name in _scripts(live)],
        )
    )


def policy(*, live: bool = False) -> str:
    """The content security policy of a page: no request, and only our own scripts.

    Args:
        live: it may ask for itself anew.
    """
    scripts = " ".join(f"'{_hash(_asset(name))}'" for name in _scripts(live))
    asks = "connect-src 'self'; " if live else ""
    return (
        f"default-src 'none'; style-src '{_hash(_asset('page.css'))}'; "
        f"script-src {scripts}; {asks}img-src data:; base-uri 'none'; "
        f"form-action 'none'"
    )


def _scripts(live: bool) -> tuple[str, ...]:
    return ("page.js", "live.js") if live else ("page.js",)


@lru_cache(maxsize=1)
def _environment() -> Environment:
    # Everything that comes out of a run folder is hostile text: all of it is made
    # visible and escaped where it is written down, and nothing of it is marked safe.
    return Environment(
        loader=PackageLoader("dux_agent.report"),
        autoescape=True,
        finalize=_finalized,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _finalized(value: Any) -> Any:
    # Markup is what this package wrote itself: styles, the script, its macros' output.
    if isinstance(value, str) and not isinstance(value, Markup):
        return visible(value)
    return value


@lru_cache
def _asset(name: str) -> str:
    source = resources.files("dux_agent.report") / "templates" / name
    return source.read_text(encoding="utf-8")


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode("utf-8")).digest()
    return f"sha256-{base64.b64encode(digest).decode('ascii')}"
