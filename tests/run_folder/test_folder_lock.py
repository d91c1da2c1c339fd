import sys

import pytest

from dux_agent.errors import RunFolderUnusable
from dux_agent.run_folder import folder_lock
from dux_agent.run_folder.folder import RunFolder

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no such locks there")


def test_a_folder_is_written_by_one_at_a_time(tmp_path, monkeypatch):
    monkeypatch.setattr(folder_lock, "_PATIENCE_SECONDS", 0.05)
    with RunFolder.create(tmp_path / "run", {}) as folder:
        assert folder_lock.is_locked(folder.path / "trace.jsonl")

        with pytest.raises(RunFolderUnusable, match="still being written"):
            RunFolder.open(tmp_path / "run")

    RunFolder.open(tmp_path / "run").close()


def test_a_folder_that_nobody_writes_is_free(tmp_path):
    RunFolder.create(tmp_path / "run", {}).close()

    assert not folder_lock.is_locked(tmp_path / "run" / "trace.jsonl")
    assert not folder_lock.is_locked(tmp_path / "nowhere")
