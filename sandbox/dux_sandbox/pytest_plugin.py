"""A pytest plugin: the laws of an optimizer on a rule of one's own.

    @pytest.fixture
    def factory():
        return lambda params: MyOptimizer(params, lr=0.1)

    @pytest.mark.dux_laws(skip=["order"])
    def test_the_laws(factory, law):
        pass

With an argument `law` there is one test for each law; without it one for all. The
plugin imports neither torch nor hypothesis until a test is marked.
"""

from typing import Any

import pytest

_MARK = "dux_laws"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--dux-examples`."""
    parser.getgroup("dux").addoption(
        "--dux-examples",
        type=int,
        default=50,
        metavar="N",
        help="cases that hypothesis draws for each law of a test marked dux_laws",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Make the mark known, also to `--strict-markers`."""
    config.addinivalue_line(
        "markers",
        "dux_laws(fixture='factory', skip=(), also=()): try the laws of an optimizer "
        "on what the fixture `factory` makes: parameters in, optimizer out.",
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One test for each law where the test asks for `law`."""
    mark = metafunc.definition.get_closest_marker(_MARK)
    if mark is None or "law" not in metafunc.fixturenames:
        return
    from dux_sandbox.laws import laws_to_try

    laws = laws_to_try(0, _named(mark, "skip"), _named(mark, "also"))
    metafunc.parametrize("law", [law.name for law in laws])


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> None:
    """Try the laws, then let the body of the test run."""
    mark = pyfuncitem.get_closest_marker(_MARK)
    if mark is None:
        return
    from dux_sandbox.laws import check_laws, laws_to_try

    fixture = mark.kwargs.get("fixture", "factory")
    if fixture not in pyfuncitem.funcargs:
        pytest.fail(
            f"{pyfuncitem.name} has no argument {fixture!r}; a test marked dux_laws "
            f"takes a fixture that returns a factory: parameters in, optimizer out.",
            pytrace=False,
        )
    skip, also = _named(mark, "skip"), _named(mark, "also")
    law = pyfuncitem.funcargs.get("law")
    if law is not None:
        skip |= {each.name for each in laws_to_try(0, (), also)} - {law}
    factory: Any = pyfuncitem.funcargs[fixture]
    results = check_laws(
        factory,
        examples=pyfuncitem.config.getoption("--dux-examples"),
        skip=skip,
        also=also,
    )
    broken = [result for result in results if not result.ok]
    if broken:
        told = [f"{each.name}: {each.message}\n\n{each.example}" for each in broken]
        pytest.fail("\n".join(told), pytrace=False)


def _named(mark: pytest.Mark, what: str) -> set[str]:
    """The laws that a mark names; one may be given as its bare name."""
    given = mark.kwargs.get(what, ())
    return {given} if isinstance(given, str) else set(given)
