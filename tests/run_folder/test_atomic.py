import pytest

from dux_agent.run_folder.atomic import remove_parts, write_atomically


def test_a_file_is_replaced_as_a_whole(tmp_path):
    target = tmp_path / "file"

    write_atomically(target, b"one")
    write_atomically(target, b"two")

    assert b"two" == target.read_bytes()
    assert [target] == list(tmp_path.iterdir())


def test_what_cannot_be_written_leaves_the_old_file_and_nothing_else(
    tmp_path, monkeypatch
):
    target = tmp_path / "file"
    target.write_bytes(b"old")

    def full(handle):
        raise OSError(28, "no space left")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="no space"):
        write_atomically(target, b"new")

    assert b"old" == target.read_bytes()
    assert [target] == list(tmp_path.iterdir())


def test_what_a_killed_writer_left_is_taken_away(tmp_path):
    (tmp_path / ".checkpoint.pt.abc.part").write_bytes(b"half")
    (tmp_path / "mine.part").write_bytes(b"mine")

    remove_parts(tmp_path)

    assert ["mine.part"] == [path.name for path in tmp_path.iterdir()]
