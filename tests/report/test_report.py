import hashlib
import os
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from typer.testing import CliRunner

from dux_agent.cli import app
from dux_agent.errors import BadArgument, DuxError
from dux_agent.report.axis import axis_of
from dux_agent.report.comparison import groups_of, paired
from dux_agent.report.difference import difference
from dux_agent.report.money import Prices, money_text
from dux_agent.report.page import MOST_BYTES, write_report
from dux_agent.report.thinning import thinned
from dux_agent.run_history.reading import read_story
from tests.run_folders import Writer, fenced, source, usual


class Page(HTMLParser):
    """Elements, text and decisions of a page, as a parser sees them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.said: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.said.append(data)

    @property
    def decisions(self):
        return [
            attributes["data-decision"]
            for _, attributes in self.elements
            if "data-decision" in attributes
        ]

    @property
    def text(self):
        return "".join(self.said)


def page_of(path: Path, **options) -> Page:
    return Page(write_report([path], **options).read_text("utf-8"))


def state_of(folder: Path) -> dict[str, str]:
    return {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


def test_the_page_has_one_element_for_every_decision(tmp_path):
    page = page_of(usual(tmp_path / "run"))

    assert ["1", "2"] == page.decisions


def test_the_page_tells_prompt_reply_source_diff_and_verdict(tmp_path):
    page = page_of(usual(tmp_path / "run"), prices=Prices(2.0, 10.0))

    for told in (
        "You write optimizers.",
        "Step 15: what now?",
        "Here it is.",
        "Plain steps, number 2.",
        "passed after 1 try",
        "exp_avg (2 parameters)",
        "0.1 → 0.01",
        "1,000 in, 200 out",
        "$0.0040",
    ):
        assert told in page.text
    tags = [tag for tag, _ in page.elements]
    assert tags.count("del") == 2 and tags.count("ins") > 10


def test_a_message_that_was_shown_is_named_and_not_repeated(tmp_path):
    page = page_of(usual(tmp_path / "run"))

    assert 1 == page.text.count("You write optimizers.")
    assert "As message 1 of prompt 1 of decision 1." in page.text


def test_only_the_report_is_written_and_only_it_changes(tmp_path):
    path = usual(tmp_path / "run")
    before = state_of(path)

    write_report([path])
    write_report([path])

    after = state_of(path)
    assert {"report.html"} == after.keys() - before.keys()
    assert before == {name: after[name] for name in before}


def test_the_same_folder_makes_the_same_page(tmp_path):
    path = usual(tmp_path / "run")

    assert write_report([path]).read_bytes() == write_report([path]).read_bytes()


def test_the_page_asks_for_nothing_and_runs_only_its_own_script(tmp_path):
    page = page_of(usual(tmp_path / "run"))

    policy = next(
        each["content"]
        for tag, each in page.elements
        if each.get("http-equiv") == "Content-Security-Policy"
    )
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    links = {
        each.get("src") or each.get("href")
        for _, each in page.elements
        if each.get("src") or each.get("href")
    }
    assert all(link.startswith("#") or link == "data:," for link in links)
    assert not [each for _, each in page.elements if "style" in each]
    assert not [name for _, each in page.elements for name in each if name[:2] == "on"]


PAYLOADS = [
    "</script><script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "</pre></details><svg/onload=alert(1)>",
    "<!--<script>",
    "{{ 7 * 7 }}{% raw %}",
    "javascript:alert(1)",
    "a\x00b\u202ec\ufeff\x1b[31m\ud800",
]


@pytest.mark.parametrize("payload", PAYLOADS)
def test_a_hostile_text_in_any_field_stays_text(tmp_path, payload):
    hostile = source(1) + f"# {payload}\n"
    with Writer(
        tmp_path / "run",
        task=payload,
        seed=7,
        model=payload,
        created=payload,
        versions={"dux-agent": payload, "torch": payload},
    ) as run:
        run.losses(1, 3)
        run.event("observation", 1, 3, base_optimizer={"name": payload}, source=payload)
        run.event("prompt", 1, 3, messages=[{"role": payload, "content": payload}])
        run.event("error", 1, 3, error=payload, message=payload)
        run.event("reply", 1, 3, content=payload + fenced(hostile), usage={})
        run.event("reply", 1, 3, content=payload, usage={payload: 3})
        finding = dict.fromkeys(("rule", "message", "instead"), payload) | {"line": 1}
        run.event("static_check", 1, 3, digest=payload, ok=False, findings=[finding])
        run.event("dry_run", 1, 3, digest=payload, ok=False, losses=[1, payload])
        run.event(
            "apply",
            1,
            3,
            digest=payload,
            verdict=payload,
            reason=payload,
            carry={"carried": {payload: 2}, "dropped": {payload: 1}},
        )
        run.event("rollback", 1, 3, digest=payload, reason=payload)

    page = page_of(run.path)
    beside = Page(write_report([run.path, run.path]).read_text("utf-8"))

    for each in (page, beside):
        tags = [tag for tag, _ in each.elements]
        assert 1 == tags.count("script")
        assert "img" not in tags
        named = [name for _, held in each.elements for name in held]
        assert not [name for name in named if name.startswith("on")]
        assert not re.search("[\x00\x1b\u202e\ufeff]", each.text)
    assert ["1"] == page.decisions


def test_a_run_without_a_decision_or_a_loss_has_a_page(tmp_path):
    with Writer(tmp_path / "run", arguments={}) as run:
        pass

    page = page_of(run.path)

    assert [] == page.decisions
    assert "No loss is recorded yet." in page.text
    assert "No decision is recorded." in page.text


def test_a_run_that_goes_on_says_so(tmp_path):
    path = usual(tmp_path / "run")
    with (path / "trace.jsonl").open("ab") as trace:
        trace.write(b'{"time": 1, "st')
    facts = (path / "run.json").read_text().replace('"epochs": 2', '"epochs": 5')
    (path / "run.json").write_text(facts)

    page = page_of(path)

    assert "2 of 5 epochs" in page.text
    assert ["1", "2"] == page.decisions


@pytest.mark.parametrize("verdict", ["kept", "failed"])
def test_a_decision_that_changed_nothing_is_told_with_its_reason(tmp_path, verdict):
    with Writer(tmp_path / "run") as run:
        run.losses(1, 3)
        run.ask(1, 3)
        run.event("error", 1, 3, error="Timeout", message="no answer in 120 s")
        run.propose(1, 3, source(1), ok=False)
        run.conclude(1, 3, None, verdict, reason="nothing passed")

    page = page_of(run.path)

    assert "nothing passed" in page.text
    assert "no answer in 120 s" in page.text
    assert "smaller steps" in page.text
    assert verdict in page.text


def test_a_rollback_is_told_with_its_step_and_reason(tmp_path):
    with Writer(tmp_path / "run") as run:
        run.losses(1, 9)
        digest = run.applied(1, 3, source(1), None)
        run.event("rollback", 1, 7, digest=digest, reason="the loss rose to 9")

    page = page_of(run.path)

    assert "the loss rose to 9" in page.text
    assert "decision 1 rolled back at step 7" in page.text


@pytest.mark.parametrize(
    ("error", "title"),
    [
        ("RateLimitError", "Trouble with the model, RateLimitError:"),
        ("not_approved", "A person&#39;s word:"),
        ("build", "It could not be built:"),
        ("unrecorded", "It can be recorded no longer:"),
    ],
)
def test_only_what_is_the_models_trouble_is_called_so(tmp_path, error, title):
    with Writer(tmp_path / "run") as run:
        run.ask(1, 5)
        run.event("error", 1, 5, error=error, message="use a warm-up")

    page = write_report([run.path]).read_text()

    assert f"<strong>{title}</strong> use a warm-up" in page


def test_losses_that_are_not_finite_are_marked_and_not_drawn(tmp_path):
    with Writer(tmp_path / "run") as run:
        run.losses(1, 30)
        for step, loss in ((31, float("nan")), (32, float("inf")), (33, 1e308)):
            run.event("loss", None, step, loss=loss)

    text = write_report([run.path]).read_text("utf-8")

    assert "2 recorded losses are not finite" in text
    paths = "".join(re.findall(r' d="([^"]*)"', text))
    assert paths and "nan" not in paths and "inf" not in paths


def test_huge_texts_are_cut_until_the_page_is_small_enough(tmp_path):
    with Writer(tmp_path / "run") as run:
        for number in range(1, 31):
            run.event(
                "prompt",
                number,
                number,
                messages=[{"role": "user", "content": f"<{number}>" * 60_000}],
            )
            run.propose(number, number, source(number) + "# <&>\n" * 4000)
            run.conclude(number, number, None, "kept")

    written = write_report([run.path])

    assert written.stat().st_size <= MOST_BYTES
    page = Page(written.read_text("utf-8"))
    assert 30 == len(page.decisions)
    assert "characters left out" in page.text


def test_bad_input_is_one_line_and_exit_2_and_nothing_is_written(tmp_path):
    for arguments in (
        [str(tmp_path)],
        [str(tmp_path / "missing")],
        [str(usual(tmp_path / "run")), "--price-in", "3"],
        [str(tmp_path / "run"), "--price-in", "-1", "--price-out", "1"],
        [str(tmp_path / "run"), str(tmp_path)],
        [str(tmp_path / "run"), "--output", str(tmp_path / "no" / "page.html")],
    ):
        result = CliRunner().invoke(app, ["report", *arguments])

        assert 2 == result.exit_code, arguments
        assert 1 == len(result.stderr.strip().splitlines())
    assert not list(tmp_path.rglob("*.html"))


def test_a_page_that_cannot_be_written_leaves_the_old_one(tmp_path):
    path = usual(tmp_path / "run")
    target = tmp_path / "page"
    target.mkdir()

    with pytest.raises(DuxError, match="cannot be written"):
        write_report([path], output=target)

    assert ["page", "run"] == sorted(os.listdir(tmp_path))


def test_the_command_prints_where_the_page_is(tmp_path):
    path = usual(tmp_path / "run")

    result = CliRunner().invoke(app, ["report", str(path)])

    assert (0, str(path / "report.html")) == (result.exit_code, result.stdout.strip())


def test_several_runs_are_compared_over_their_seeds(tmp_path):
    paths = [usual(tmp_path / f"run-{seed}", seed=seed) for seed in (0, 10)]

    written = write_report(paths)

    page = Page(written.read_text("utf-8"))
    assert tmp_path / "comparison.html" == written
    assert "1.2500 ± 0.0707" in page.text  # test losses 1.2 and 1.3
    assert "2 of 2" in page.text
    assert "run-10" in page.text


def test_a_run_is_compared_with_the_control_of_its_own_seed(tmp_path):
    paths = [usual(tmp_path / f"run-{seed}", seed=seed) for seed in (0, 10)]

    runs, control = groups_of([read_story(path) for path in paths])["digits"]
    gain, better = paired(runs, control, "test")

    assert pytest.approx(1.8) == gain.mean
    assert pytest.approx(0.0) == gain.deviation
    assert 2 == better


def test_two_models_with_one_seed_share_one_control(tmp_path):
    paths = [usual(tmp_path / model, model=model) for model in ("one", "two")]

    groups = groups_of([read_story(path) for path in paths])["digits"]

    assert [("one", 1), ("two", 1), ("control", 1)] == [
        (group.name, len(group.courses)) for group in groups
    ]


def test_money_says_when_it_is_not_known():
    used, silent = {"calls": 1, "input_tokens": 10, "output_tokens": 5}, {"calls": 1}

    assert "unknown: no prices given" == money_text(Prices(), [used])
    assert "unknown: the model reported no tokens" == money_text(Prices(1, 1), [silent])
    assert money_text(Prices(1, 1), [used, silent]).startswith("at least $")
    with pytest.raises(BadArgument, match="--price-out is missing"):
        Prices(1.0)


def test_thinning_keeps_bounds_and_every_extreme():
    points = [(step, float(step % 97)) for step in range(1, 100_000)]

    buckets = thinned(points, 600)

    assert 600 == len(buckets)
    assert (0.0, 96.0) == (
        min(bucket.low for bucket in buckets),
        max(bucket.high for bucket in buckets),
    )


@pytest.mark.parametrize(
    "values", [[], [0.0], [5.0, 5.0], [1e-310, 1.0], [-3.0, 1e299], [1e-9, 1e9]]
)
def test_an_axis_places_any_values_between_its_ends(values):
    axis = axis_of(values, 300.0, 10.0)

    places = [axis.place(value) for value in [*values, *axis.ticks]]

    assert all(10.0 <= place <= 300.0 for place in places)
    assert len(axis.ticks) <= 30


def test_a_diff_holds_every_line_that_changed_and_leaves_out_long_middles():
    lines = difference("a\n" * 30 + "b\n", "a\n" * 30 + "c\n")

    assert [("gap", None), ("same", 27)] == [
        (each.kind, each.new) for each in lines[:2]
    ]
    assert [("gone", "b"), ("new", "c")] == [
        (each.kind, each.text) for each in lines[-2:]
    ]


def test_sources_too_long_to_compare_are_said_to_be(tmp_path):
    assert difference("a\n" * 3000, "b\n" * 3000) is None


@pytest.mark.parametrize("kept", [True, False])
def test_the_best_weights_are_shown_where_they_were_kept(tmp_path, kept):
    arguments = {"epochs": 3, "keep_best": kept}
    with Writer(tmp_path / "run", arguments=arguments) as run:
        for number, val in ((1, 2.0), (2, 1.25), (3, 1.5)):
            run.epoch(number, 10 * number, val)

    page = page_of(run.path).text

    assert kept == ("best weights" in page)
    assert kept == ("of epoch 2; their test loss 1.4500" in page)
