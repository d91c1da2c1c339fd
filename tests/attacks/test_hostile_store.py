"""A run folder may come from anybody: nothing in it runs, whatever reads it."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing

import pytest

from tests.attacks.hostile_folders import (
    contents,
    dux,
    ended_in_words,
    refused_in_one_line,
    run_that_dies,
)
from tests.attacks.hostile_states import PAYLOADS, plant

STORE = "decisions.sqlite"


@pytest.fixture(scope="module")
def died(tmp_path_factory):
    folder = run_that_dies(tmp_path_factory.mktemp("died") / "run")
    (folder / "checkpoint.pt").unlink(missing_ok=True)
    return folder


@pytest.fixture
def folder(died, tmp_path):
    return shutil.copytree(died, tmp_path / "run")


@pytest.mark.parametrize("table", ["checkpoints", "writes"])
@pytest.mark.parametrize("payload", PAYLOADS, ids=lambda payload: payload.__name__)
def test_states_that_run_something_do_not_run_at_resume(
    folder, tmp_path, payload, table
):
    marker = tmp_path / "marker"
    plant(folder / STORE, *payload(marker), table)
    before = contents(folder)

    result = dux("run", "--resume", folder)

    assert not marker.exists()
    refused_in_one_line(result, "may run code when read")
    assert before == contents(folder)


def test_a_constructor_spelt_in_json_is_plain_data_at_resume(folder, tmp_path):
    marker = tmp_path / "marker"
    called = {"lc": 2, "type": "constructor", "id": ["os", "mkdir"]}
    state = json.dumps(called | {"args": [str(marker)]}).encode()
    for table in ("checkpoints", "writes"):
        plant(folder / STORE, "json", state, table)

    result = dux("run", "--resume", folder)

    assert not marker.exists()
    assert 0 == result.exit_code, result.output


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        (
            "CREATE TRIGGER t BEFORE INSERT ON writes BEGIN DELETE FROM writes; END",
            "the trigger 't'",
        ),
        ("CREATE VIEW v AS SELECT 1", "the view 'v'"),
        ("CREATE TABLE extra (x)", "the table 'extra'"),
        ("CREATE INDEX i ON writes (hex(value))", "the index 'i'"),
        ("CREATE INDEX i ON writes (channel) WHERE idx > 5", "the index 'i'"),
        ("CREATE VIRTUAL TABLE f USING fts5(x)", "the table 'f"),
        (
            "ALTER TABLE writes ADD COLUMN more GENERATED ALWAYS AS (hex(value))",
            "the table 'writes'",
        ),
        ("ALTER TABLE writes ADD COLUMN more CHECK (abs(idx) > -1)", "'writes'"),
        (
            "ALTER TABLE checkpoints RENAME TO c; "
            "CREATE VIEW checkpoints AS SELECT * FROM c",
            "the ",
        ),
        ("UPDATE checkpoints SET metadata = zeroblob(1000000)", "metadata"),
    ],
)
def test_a_store_with_a_life_of_its_own_is_refused_at_resume(folder, sql, said):
    with closing(sqlite3.connect(folder / STORE)) as store, store:
        store.executescript(sql)

    result = dux("run", "--resume", folder)

    refused_in_one_line(result, said)


@pytest.mark.parametrize("end", ["", "-wal", "-shm", "-journal"])
def test_a_store_that_leads_to_another_file_is_refused(folder, tmp_path, end):
    victim = tmp_path / "victim"
    victim.write_bytes(b"mine")
    (folder / f"{STORE}{end}").unlink(missing_ok=True)
    (folder / f"{STORE}{end}").symlink_to(victim)

    result = dux("run", "--resume", folder)

    refused_in_one_line(result, f"{STORE}{end} is no file of its own")
    assert b"mine" == victim.read_bytes()


def test_the_folder_goes_on_where_nobody_touched_it(folder):
    result = dux("run", "--resume", folder)

    assert 0 == result.exit_code, result.output


@pytest.mark.parametrize("name", [STORE, "trace.jsonl"])
def test_a_file_that_has_another_name_elsewhere_is_not_written(folder, tmp_path, name):
    victim = tmp_path / "victim"
    victim.hardlink_to(folder / name)
    before = victim.read_bytes()

    result = dux("run", "--resume", folder)

    ended_in_words(result)
    assert 2 == result.exit_code, result.output
    assert before == victim.read_bytes()
