"""The task that docs/tasks.md shows is one: it is taken from the page and tried."""

import re
from pathlib import Path

import pytest

from dux_agent.testing import TaskTestCase

PAGE = Path(__file__).parents[2] / "docs" / "tasks.md"


class TestTheShownTask(TaskTestCase):
    @pytest.fixture(autouse=True)
    def written(self, tmp_path, monkeypatch):
        shown, test = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
        (tmp_path / "my_tasks.py").write_text(shown)
        monkeypatch.chdir(tmp_path)
        names = {}
        exec(test, names)
        type(self).task = names["TestWaves"].task
