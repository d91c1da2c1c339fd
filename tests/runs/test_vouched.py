import pytest

from dux_agent.runs import vouched


@pytest.fixture(autouse=True)
def a_cache_of_its_own(monkeypatch, tmp_path):
    monkeypatch.setattr(vouched, "folder", lambda: tmp_path)


@pytest.mark.parametrize("name", ["lib.sqlite", "\ud800", "\udcff", "ü", "a\nb"])
def test_what_was_said_here_is_known_whatever_characters_are_in_it(name):
    plan = vouched.Plan(task="digits", experience=name)
    assert not vouched.vouched(vouched.experience_words(plan))

    vouched.vouch(plan)

    assert vouched.vouched(vouched.experience_words(plan))
    other = vouched.Plan(task="digits", experience=name + "2")
    assert not vouched.vouched(vouched.experience_words(other))
