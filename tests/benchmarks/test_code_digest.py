"""The digest of code tells what may change a figure from what cannot."""

import sys

from dux_agent.benchmarks.code_digest import code_digest

SOURCE = '"""What it does."""\n\n\ndef double(x):\n    """Twice."""\n    return 2 * x\n'


def test_a_changed_line_counts_and_a_comment_or_a_docstring_does_not(
    tmp_path, monkeypatch
):
    monkeypatch.syspath_prepend(str(tmp_path))
    file = tmp_path / "digested_here.py"

    def of(source):
        file.write_text(source)
        return code_digest(["digested_here"])

    before = of(SOURCE)

    assert before == of(SOURCE.replace("Twice.", "Two times."))
    assert before == of(SOURCE.replace("2 * x", "2  *  x  # why"))
    assert before != of(SOURCE.replace("2 * x", "3 * x"))
    sys.modules.pop("digested_here")


def test_a_package_counts_with_every_module_in_it(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    folder = tmp_path / "digested_package"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    before = code_digest(["digested_package"])

    (folder / "inner.py").write_text(SOURCE)

    assert before != code_digest(["digested_package"])
    sys.modules.pop("digested_package")


def test_files_count_by_what_they_hold_and_packages_by_their_versions(tmp_path):
    data = tmp_path / "data.csv"
    absent = code_digest([], files=[data])
    data.write_text("1,2")
    there = code_digest([], files=[data])
    data.write_text("1,3")

    assert 3 == len({absent, there, code_digest([], files=[data])})
    assert code_digest([], ["numpy"]) != code_digest([], ["no-such-package"])
