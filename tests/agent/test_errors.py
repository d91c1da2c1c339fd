import pytest

from dux_agent.errors import (
    BadArgument,
    DataMissing,
    DuxError,
    MissingExtra,
    RunFolderExists,
    RunFolderUnusable,
    TrainingDiverged,
)


@pytest.mark.parametrize(
    ("kind", "also"),
    [
        (BadArgument, ValueError),
        (MissingExtra, ImportError),
        (DataMissing, FileNotFoundError),
        (RunFolderExists, FileExistsError),
        (RunFolderUnusable, OSError),
        (TrainingDiverged, ArithmeticError),
    ],
)
def test_every_error_is_of_the_family_and_of_pythons_own(kind, also):
    error = kind("found; wanted; do")

    assert isinstance(error, DuxError)
    assert isinstance(error, also)
    assert "found; wanted; do" == str(error)


def test_a_message_is_one_line_whatever_it_quotes():
    error = BadArgument("a library said:\n  no\n\n  never")

    assert "a library said: no never" == str(error)


def test_a_missing_extra_ends_in_its_pip_install():
    error = MissingExtra.of("datasets", extra="tasks", purpose="the task mnist")

    assert str(error).endswith("pip install 'dux-agent[tasks]'")
    assert "datasets" in str(error)
