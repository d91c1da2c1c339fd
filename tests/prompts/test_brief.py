"""Prompts as wholes; regenerate the files with `DUX_GOLDEN=write pytest THIS_FILE`."""

import os
from pathlib import Path

import pytest

from dux_prompts.brief import (
    MOST_LAYERS,
    BriefError,
    render_another,
    render_earlier,
    render_repair,
    render_system,
    render_update,
)
from dux_prompts.figures import cell, fenced, figure, line, options
from dux_sandbox.language.vocabulary import ALLOWED
from tests.observations import EXPERIENCE, MODEL, first, later

GOLDEN = Path(__file__).parents[1] / "golden"

FINDING = {
    "rule": "attribute",
    "line": 7,
    "message": "the name set_ is not allowed",
    "instead": "copy_",
}
ATTEMPTS = [
    {"stage": "static_check", "findings": [FINDING]},
    {
        "stage": "dry_run",
        "findings": [
            {"rule": "loss", "line": None, "message": "it rose", "instead": ""}
        ],
        "losses": [2.3, 2.9, 7.123456789],
        "incumbent_losses": [2.3, 2.29, 2.28],
    },
]
CASES = {
    "system": lambda: render_system(first()),
    "update_first": lambda: render_update(first()),
    "update_later": lambda: render_update(later()),
    "update_rolled_back": lambda: render_update(
        later(
            decisions_left=0,
            last={
                "verdict": "rolled_back",
                "reason": "the loss left its bound at step 301",
                "findings": [FINDING],
            },
        )
    ),
    "update_zoo": lambda: render_update(first(), zoo=True),
    "update_left": lambda: render_update(
        later(last={"verdict": "left", "reason": "the loss was nan", "findings": []})
    ),
    "update_bare": lambda: render_update(
        first(
            total_steps=None,
            decisions_left=None,
            losses=[],
            loss_fifths=[],
            gradient_norm=None,
            gradient_norm_fifths=[],
            validation_losses=[],
            learning_rates=[],
        )
    ),
    "update_experience": lambda: render_update(first(experience=EXPERIENCE)),
    "repair": lambda: render_repair(ATTEMPTS[:1], tries_left=1),
    "repair_two": lambda: render_repair(ATTEMPTS, tries_left=2),
    "another": lambda: render_another(2, 3),
    "earlier": lambda: render_earlier(later().history, count=4),
}


@pytest.mark.parametrize("name", CASES)
def test_the_whole_prompt_reads_as_in_its_golden_file(name):
    path = GOLDEN / f"{name}.md"

    prompt = CASES[name]()

    if os.environ.get("DUX_GOLDEN") == "write":
        path.write_text(prompt, encoding="utf-8")
    assert path.read_text(encoding="utf-8") == prompt


def test_every_name_the_sandbox_allows_stands_in_the_full_system_prompt():
    prompt = render_system(first(), vocabulary="full")

    for owner, names in ALLOWED.items():
        row = next(text for text in prompt.splitlines() if f"| {owner} |" in text)
        assert set(names) <= set(row.split())


@pytest.mark.parametrize("name", CASES)
def test_no_figure_shows_more_digits_than_it_has(name):
    import re

    prompt = CASES[name]()

    assert [] == re.findall(r"\d\.\d{8,}", prompt)


def test_a_large_model_and_a_long_run_keep_the_prompt_short():
    layer = MODEL["layers"][0]
    layers = [layer | {"name": f"layer{n}", "detail": "x" * 999} for n in range(500)]
    history = later().history * 500
    observation = later(
        model=MODEL | {"layers": layers},
        history=history,
        task="t" * 100_000,
        validation_losses=[[n, 1.0] for n in range(5000)],
        losses=[[n, 1.0] for n in range(5000)],
        last={
            "verdict": "kept",
            "reason": "r" * 9999,
            "findings": [FINDING | {"message": "m" * 9999}] * 500,
        },
    )

    system = render_system(observation)
    update = render_update(observation)

    assert 50_000 > len(system)
    assert 20_000 > len(update)
    assert f"{500 - MOST_LAYERS} further layers" in system
    assert "470 earlier intervals are not shown" in update
    assert 50_000 > len(render_system(observation))


def test_a_file_in_the_users_folder_takes_the_place_of_that_template_alone(tmp_path):
    (tmp_path / "update.md").write_text("At {{ step }}: {{ loss_fifths | figures }}")

    update = render_update(first(), folder=tmp_path)
    system = render_system(first(), folder=tmp_path)

    assert "At 135: 2.3081, 2.3002, 2.2994, 2.2971, 2.2953\n" == update
    assert render_system(first()) == system


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({}, "holds no template; put at least one of system.md"),
        ({"updates.md": ""}, "holds 'updates.md', which overrides nothing"),
        ({"update.md": "{{ stepp }}"}, "update.md: 'stepp' is undefined; the names"),
        ({"update.md": "a\n{% if %}"}, "update.md, line 2"),
        ({"update.md": "{{ step | nofilter }}"}, "update.md.*nofilter"),
        ({"update.md": "{{ step + 'a' }}"}, "update.md: unsupported operand"),
    ],
)
def test_a_wrong_folder_is_refused_with_the_file_and_the_fault(tmp_path, files, said):
    for name, text in files.items():
        (tmp_path / name).write_text(text)

    with pytest.raises(BriefError, match=said):
        render_update(first(), folder=tmp_path)


def test_a_folder_that_is_none_is_named(tmp_path):
    with pytest.raises(BriefError, match=r"nowhere' is not a folder; pass one"):
        render_system(first(), folder=tmp_path / "nowhere")


def test_text_of_others_cannot_break_out_of_the_prompts_tables_and_fences():
    assert "a \\| b" == cell("a |\n b")
    assert fenced("x = '```'").startswith("````python\n")
    assert "\ufffd" in render_update(first(base_optimizer={"name": "\ud800"}))


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (2.3123456789, "2.3123"),
        (1e-08, "1e-08"),
        (float("nan"), "nan"),
        (float("inf"), "inf"),
        (235146, "235146"),
        (True, "True"),
        (None, "not known"),
    ],
)
def test_figures_have_five_digits(value, written):
    assert written == figure(value)


def test_options_name_every_hyperparameter():
    group = {"lr": 0.1 + 0.2, "betas": [0.9, 0.999], "foreach": None}

    assert "lr=0.3, betas=(0.9, 0.999), foreach=None" == options(group)
    assert "no options" == options({})


def test_long_lines_are_cut_with_an_ellipsis():
    assert 600 == len(line("word " * 1000))
    assert line("word " * 1000).endswith("…")
