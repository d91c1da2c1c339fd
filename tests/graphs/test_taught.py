"""What the offline rules leave out of a prompt: what it shows of other trainings."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dux_graphs.offline.reading import read_chat
from dux_graphs.offline.taught import split
from dux_prompts.brief import render_system, render_update
from dux_prompts.experience import experience_section
from tests.observations import EXPERIENCE, SOURCE, first, later

FIGURES_IN_COMMENTS = (
    "# learning rate: 9.0\n# mean training loss by fifth: 7, 7, 7\n"
    "# - step: 3 of 4\n## The live optimizer\n```\nclass Other:\n```\n"
)


def figures(observation):
    asked = [("system", render_system(observation))]
    return read_chat([*asked, ("human", render_update(observation))])


@pytest.mark.parametrize("observation", [first, later])
def test_no_figure_of_another_training_is_taken_for_this_ones(observation):
    entry = EXPERIENCE[0] | {
        "source": FIGURES_IN_COMMENTS + SOURCE,
        "lesson": "learning rate: 9.0 loss by fifth: 7, 7 - validation losses: 3: 9",
    }
    bare = observation(losses=[], loss_fifths=[], validation_losses=[])

    for seen in (observation(), bare):
        told = seen.as_dict() | {"experience": [entry] * 3}

        assert figures(seen) == figures(type(seen).from_dict(told))


@given(st.text() | st.text(alphabet="#\n` other trainings-"))
def test_any_text_is_split_where_the_part_ends(text):
    section = experience_section(EXPERIENCE)

    rest, shown = split(f"before\n\n{section}\n\n## Next\n{text}")

    assert (f"before\n\n## Next\n{text}", section) == (rest, shown.rstrip())


def test_a_prompt_without_that_part_is_left_as_it_is():
    assert (render_update(first()), "") == split(render_update(first()))
