"""The limit after which a test process that hangs is ended."""

import pytest

from tests.conftest import limit_of


@pytest.mark.timeout(1234)
def test_a_limit_of_its_own_comes_before_all_others(request, monkeypatch):
    monkeypatch.setattr(request.config.option, "timeout", 5.0)

    assert 1234 == limit_of(request.node)


@pytest.mark.parametrize("said", [0.0, 2000.0])
def test_a_limit_that_a_run_is_given_holds(said, request, monkeypatch):
    monkeypatch.setattr(request.config.option, "timeout", said)

    assert said == limit_of(request.node)


def test_the_environment_may_say_a_limit(request, monkeypatch):
    monkeypatch.setattr(request.config.option, "timeout", None)
    monkeypatch.setenv("PYTEST_TIMEOUT", "17")

    assert 17 == limit_of(request.node)
