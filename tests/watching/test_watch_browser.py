"""A run that is watched in a real browser; skipped where there is none."""

from urllib.parse import urlencode

import pytest

from dux_agent.run_folder.watchers_word import asked, paused
from tests.browsing import browsing, console, find, needs_browser, requests, show
from tests.run_folders import Writer, fenced, source, usual
from tests.waiting import wait_until
from tests.watching.serving import watching

pytestmark = needs_browser
selenium = pytest.importorskip("selenium.common.exceptions")


@pytest.fixture(scope="module")
def browser():
    with browsing() as driver:
        yield driver


@pytest.fixture
def run(tmp_path):
    """A run that goes on, after one decision."""
    with Writer(tmp_path / "run", arguments={"epochs": 3}) as writer:
        writer.losses(1, 10)
        writer.epoch(1, 10, 2.0)
        writer.applied(1, 10, source(1), None)
        yield writer


def text_of(browser, selector):
    """What stands there now; elements may be replaced while they are read."""
    try:
        return " ".join(each.text for each in find(browser, selector))
    except selenium.StaleElementReferenceException:
        return ""


def click(browser, selector):
    [button] = find(browser, selector)
    button.click()


def question_of(run, number, *, here=True):
    proposal = {"digest": run.propose(number, 10, source(number, 0.02))}
    return asked(run.path, number, proposal, here=here)


def test_what_happens_comes_by_itself_and_nothing_else_is_asked_for(browser, run):
    with watching(run.path) as server:
        show(browser, server.address)
        path = find(browser, ".wide .line.s-train")[0].get_attribute("d")
        run.losses(11, 15)
        run.applied(2, 15, source(2, 0.02), source(1))

        wait_until(lambda: find(browser, '[data-decision="2"]'))

        assert path != find(browser, ".wide .line.s-train")[0].get_attribute("d")
        assert "goes on: 1 of 3 epochs, step 15" in text_of(browser, ".state")
        assert [] == console(browser)
        assert {server.address} == {
            url for url in requests(browser) if not url.startswith("data:")
        }


def test_what_the_reader_has_opened_typed_and_chosen_stays(browser, run):
    with question_of(run, 2) as question, watching(run.path) as server:
        show(browser, server.address)
        click(browser, '[data-decision="1"] > summary')
        typing = find(browser, f"#word-{question.key}")[0]
        typing.send_keys("use a warm-up")
        browser.execute_script("window.scrollTo(0, 200)")
        run.losses(11, 30)

        wait_until(lambda: "step 30" in text_of(browser, ".chart.wide title, .state"))

        assert find(browser, '[data-decision="1"] .diff')[0].is_displayed()
        assert "use a warm-up" == typing.get_property("value")
        assert typing == browser.switch_to.active_element
        assert 200 == browser.execute_script("return window.scrollY")


@pytest.mark.parametrize(
    ("button", "typed", "word"),
    [
        ("approve", "", True),
        ("refuse", "", False),
        ("send", "use a warm-up ü", "use a warm-up ü"),
    ],
)
def test_a_proposal_that_waits_is_shown_and_answered(browser, run, button, typed, word):
    with watching(run.path) as server:
        show(browser, server.address)
        run.ask(2, 10, source(1))
        with question_of(run, 2) as question:
            wait_until(lambda: find(browser, f"#question-{question.key}"))
            wait_until(lambda: "waits" in text_of(browser, ".state"))
            assert browser.title.startswith("Your word is wanted")
            [diff] = find(browser, '[data-decision="2"] .diff')
            assert diff.is_displayed()
            assert "number 2" in diff.text

            find(browser, f"#word-{question.key}")[0].send_keys(typed)
            click(browser, f"#{button}-{question.key}")

            wait_until(lambda: question.answered)
            assert word == question.answer()
            wait_until(lambda: "was answered" in text_of(browser, "#live"))
        run.conclude(2, 10, question.digest)

        wait_until(lambda: not find(browser, ".question"))
        wait_until(lambda: "goes on" in text_of(browser, ".state"))
        assert [] == console(browser)


def test_an_empty_text_is_not_sent(browser, run):
    with question_of(run, 2) as question, watching(run.path) as server:
        show(browser, server.address)

        click(browser, f"#send-{question.key}")

        assert not question.answered
        assert f"word-{question.key}" == browser.switch_to.active_element.get_attribute(
            "id"
        )


def test_what_is_asked_elsewhere_has_no_buttons(browser, run):
    with question_of(run, 2, here=False) as question, watching(run.path) as server:
        show(browser, server.address)

        assert "Answer there" in text_of(browser, f"#question-{question.key}")
        assert [] == find(browser, f"#question-{question.key} button")


def test_decisions_are_paused_and_resumed(browser, run):
    with watching(run.path) as server:
        show(browser, server.address)
        click(browser, "#pause")
        wait_until(lambda: find(browser, "#resume"))
        assert paused(run.path)
        assert "decisions are paused" in text_of(browser, ".state")

        click(browser, "#resume")

        wait_until(lambda: find(browser, "#pause"))
        assert not paused(run.path)
        assert [] == console(browser)


def test_a_word_that_comes_too_late_is_told(browser, run):
    with watching(run.path) as server:
        with question_of(run, 2) as question:
            show(browser, server.address)
            [button] = find(browser, f"#approve-{question.key}")
            browser.execute_script("window.fetched = window.fetch")
            # The page does not look again before the click.
            browser.execute_script(
                "window.fetch = (a, b) => b.method === 'POST' ? fetched(a, b)"
                " : new Promise(() => 0)"
            )
        button.click()

        wait_until(lambda: "nobody waits" in text_of(browser, "#link"))


def test_the_page_says_that_the_training_is_over_and_that_the_watch_is(browser, run):
    with watching(run.path) as server:
        show(browser, server.address)
        wait_until(lambda: "goes on" in text_of(browser, ".state"))
        run.folder.close()

        wait_until(lambda: "ended early or died" in text_of(browser, ".state"))
        assert [] == find(browser, "#pause")

    wait_until(lambda: "does not answer" in text_of(browser, "#link"))


def test_a_watch_that_was_started_again_has_another_address(browser, run):
    with watching(run.path) as server:
        show(browser, server.address)
        port = server.server_port
    with watching(run.path, port=port):
        wait_until(lambda: "started again" in text_of(browser, "#link"))


def test_a_run_that_is_not_there_yet_is_shown_when_it_is(browser, tmp_path):
    with watching(tmp_path / "runs" / "mine") as server:
        show(browser, server.address)
        assert "there is no run yet" in text_of(browser, ".state")
        (tmp_path / "runs").mkdir()
        usual(tmp_path / "runs" / "mine")

        wait_until(lambda: find(browser, '[data-decision="2"]'))

        assert "finished: 2 epochs" in text_of(browser, ".state")
        assert [] == console(browser)


def test_one_of_several_runs_is_chosen(browser, tmp_path):
    names = ["one", "ein Lauf & <b>mehr ?run=one#x", "\u202eretfa"]
    for seed, name in enumerate(names):
        usual(tmp_path / name, seed=seed)
    with watching(tmp_path) as server:
        for seed, name in enumerate(names):
            show(browser, server.address)
            click(browser, f'a[href$="{urlencode({"run": name})}"]')

            wait_until(lambda: find(browser, '[data-decision="2"]'))
            assert f"digits, seed {seed}" in text_of(browser, "h1")
            assert [] == console(browser)


def test_hostile_texts_run_nothing_when_they_come_later(browser, run):
    payload = (
        "</script></style></pre></title></textarea>\"'><img src=x onerror=alert(1)>"
        "<script>alert(2)</script><svg onload=alert(3)><iframe srcdoc='x'>"
        "<a href='javascript:alert(4)'>x</a>\u202e\x00\ud800\u2028{{ 7*7 }}"
    )
    with watching(run.path) as server:
        show(browser, server.address)
        with asked(run.path, 2, {"digest": payload}, here=True):
            run.event("prompt", 2, 3, messages=[{"role": payload, "content": payload}])
            text = source(2) + "# " + payload.replace("\ud800", "")
            run.event("reply", 2, 3, content=payload + fenced(text))
            run.event("apply", 2, 3, digest=payload, verdict=payload, reason=payload)
            run.event("error", None, 4, error="TrainingDiverged", message=payload)

            wait_until(lambda: find(browser, '[data-decision="2"]'))

        assert [] == console(browser)
        assert [] == find(browser, "img, iframe, main script, [onload], [onerror]")
        assert [] == find(browser, "a[href^=javascript]")
