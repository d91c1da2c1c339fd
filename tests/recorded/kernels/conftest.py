import pytest

from dux_sandbox.recorded.kernels.compiler import compiler


@pytest.fixture(autouse=True)
def kernels_of_these_tests(tmp_path_factory, monkeypatch):
    """Kernels are compiled, and kept in a folder that goes with the run of tests."""
    if compiler() is None:
        pytest.skip("no C compiler is here")
    folder = tmp_path_factory.getbasetemp() / "kernels"
    monkeypatch.setenv("DUX_KERNEL_CACHE", str(folder))
    return folder
