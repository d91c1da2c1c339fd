"""The pages in a real browser; skipped where there is none."""

import re
from importlib import resources

import pytest

from dux_agent.report.page import write_report
from tests.browsing import (
    browsing,
    console,
    find,
    needs_browser,
    requests,
    show,
    width,
)
from tests.run_folders import Writer, fenced, source, usual

pytestmark = needs_browser


@pytest.fixture(scope="module")
def browser():
    with browsing() as driver:
        yield driver


def show_file(browser, page):
    show(browser, page.as_uri())


def test_the_page_has_no_errors_asks_for_nothing_and_shows_every_decision(
    browser, tmp_path
):
    page = write_report([usual(tmp_path / "run")])

    show_file(browser, page)

    assert [] == console(browser)
    assert {page.as_uri()} == {url for url in requests(browser) if url != "data:,"}
    assert 2 == len(find(browser, "[data-decision]"))


def test_a_click_on_a_decision_shows_its_diff(browser, tmp_path):
    show_file(browser, write_report([usual(tmp_path / "run")]))
    decision = find(browser, '[data-decision="2"]')[0]
    diff = decision.find_element("css selector", ".diff")
    before = diff.is_displayed()

    decision.click()

    assert not before
    assert diff.is_displayed()
    assert "number 2" in diff.find_element("css selector", "ins").text
    assert "number 1" in diff.find_element("css selector", "del").text


def test_the_keyboard_opens_a_decision_too(browser, tmp_path):
    show_file(browser, write_report([usual(tmp_path / "run")]))
    summary = find(browser, '[data-decision="1"] > summary')[0]
    browser.execute_script("arguments[0].focus()", summary)

    browser.switch_to.active_element.send_keys("\ue007")  # Enter

    assert find(browser, '[data-decision="1"] .diff')[0].is_displayed()


def test_the_timeline_and_the_chart_lead_to_the_decision(browser, tmp_path):
    page = write_report([usual(tmp_path / "run")])
    for selector in (".timeline a[href='#decision-2']", ".wide a.badge[href$='n-2']"):
        show_file(browser, page)
        width(browser, 1200)

        browser.execute_script(
            "arguments[0].dispatchEvent(new MouseEvent('click', {bubbles: true}))",
            find(browser, selector)[0],
        )

        assert find(browser, '[data-decision="2"] .diff')[0].is_displayed()
        assert not find(browser, '[data-decision="1"] .diff')[0].is_displayed()


@pytest.mark.parametrize("dark", [False, True])
def test_nothing_is_wider_than_a_phone(browser, tmp_path, dark):
    paths = [usual(tmp_path / f"run-{seed}", seed=seed) for seed in (0, 1)]
    for page in (write_report(paths[:1]), write_report(paths)):
        show_file(browser, page)
        width(browser, 390, dark=dark)
        browser.execute_script(
            "document.querySelectorAll('details').forEach(each => each.open = true)"
        )

        assert 390 >= browser.execute_script(
            "return document.documentElement.scrollWidth"
        )
        assert [] == console(browser)


def test_hostile_texts_run_nothing(browser, tmp_path):
    payload = "</script></style></pre>\"'><img src=x onerror=alert(1)><script>alert(2)"
    with Writer(tmp_path / "run", task=payload, model=payload) as run:
        run.losses(1, 5)
        run.event("prompt", 1, 3, messages=[{"role": payload, "content": payload}])
        run.event("reply", 1, 3, content=payload + fenced(source(1) + "# " + payload))
        run.event("apply", 1, 3, digest=payload, verdict=payload, reason=payload)

    show_file(browser, write_report([run.path]))

    assert payload in browser.title
    assert [] == console(browser)  # a script that the policy stops is an error there
    assert [] == find(browser, "img")


def test_text_and_ground_differ_enough_in_both_themes():
    held = resources.files("dux_agent.report") / "templates" / "page.css"
    themes = re.findall(r":root \{(.*?)\}", held.read_text("utf-8"), re.DOTALL)[:2]
    pairs = [("ink", "ground"), ("soft", "ground"), ("link", "paper")]
    pairs += [(name, "paper") for name in ("ink", "soft", "applied", "failed")]
    pairs += [("ink", "code"), ("soft", "code"), ("soft", "grid")]
    pairs += [("ins-ink", "ins"), ("del-ink", "del")]
    for name in ("applied", "kept", "failed", "rolled", "open"):
        pairs.append((name, f"{name}-soft"))

    for theme in themes:
        colours = dict(re.findall(r"--([a-z0-9-]+): (#[0-9a-f]{6});", theme))
        worst = min(
            (contrast(colours[ink], colours[ground]), ink, ground)
            for ink, ground in pairs
        )

        assert worst[0] >= 4.5, worst  # WCAG 2.2, 1.4.3, level AA


def contrast(one, other):
    """The ratio of WCAG 2.2 between two colours written #rrggbb."""
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def luminance(colour):
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4
        for part in parts
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
