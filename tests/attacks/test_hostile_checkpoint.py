"""`checkpoint.pt` of a run folder is input: it runs nothing and is not believed."""

from __future__ import annotations

import io
import pickle
import shutil
import zipfile

import pytest
import torch

from dux_agent.run_folder import run_checkpoint
from dux_agent.run_folder.plain_archive import NoPlainArchive, read_archive
from tests.attacks.hostile_folders import (
    contents,
    dux,
    ended_in_words,
    refused_in_one_line,
    run_that_dies,
)
from tests.attacks.hostile_states import Touch


@pytest.fixture(scope="module")
def died(tmp_path_factory):
    return run_that_dies(tmp_path_factory.mktemp("died") / "run")


@pytest.fixture
def folder(died, tmp_path):
    return shutil.copytree(died, tmp_path / "run")


def saved(value):
    held = io.BytesIO()
    torch.save(value, held)
    return held.getvalue()


def archive(pickled, *, compression=zipfile.ZIP_STORED, comment=b"", more=()):
    """What torch.save writes, with another pickle in it."""
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", compression) as made:
        for name, content in (
            ("a/data.pkl", pickled),
            ("a/byteorder", b"little"),
            ("a/version", b"3\n"),
            *more,
        ):
            made.writestr(name, content)
        made.comment = comment
    return held.getvalue()


def laughs(kind):
    """A few bytes that hold a thing twice, which holds another twice, and so on."""
    held = ()
    for _ in range(60):
        held = kind((held, held))
    return pickle.dumps(held, protocol=2)


class Strange:
    """Only here."""


def archives(marker):
    touch = pickle.dumps(Touch(marker), protocol=2)
    huge = torch.zeros(1).expand(10**12)
    return {
        "a call": archive(touch),
        "a bare call": touch,
        "a call after the checkpoint": saved({"a": 1}) + touch,
        "packed": archive(pickle.dumps({}, 2), compression=zipfile.ZIP_DEFLATED),
        "packed bomb": archive(
            pickle.dumps({}, 2),
            compression=zipfile.ZIP_DEFLATED,
            more=[("a/data/0", bytes(2**24))],
        ),
        "a comment": archive(pickle.dumps({}, 2), comment=b"PK\x05\x06" + bytes(18)),
        "laughing tuples": archive(laughs(tuple)),
        "laughing lists": archive(laughs(list)),
        "deep": archive(b"\x80\x02" + b"]" * 5000 + b"a" * 4999 + b"."),
        "meta": saved({"a": torch.empty(3, device="meta")}),
        "sparse": saved({"a": torch.eye(3).to_sparse()}),
        "quantized": saved(
            {"a": torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8)}
        ),
        "more than its data": saved({"a": huge}),
        "a class": pickle.dumps(Strange()),
        "a module": saved(torch.nn.Linear(2, 2)),
        "old form": _legacy({"a": torch.ones(3)}),
        "nothing": b"",
        "the end alone": b"PK\x05\x06" + bytes(18),
    }


def _legacy(value):
    held = io.BytesIO()
    torch.save(value, held, _use_new_zipfile_serialization=False)
    return held.getvalue()


@pytest.mark.filterwarnings("ignore")
def test_no_archive_runs_anything_or_claims_more_than_it_holds(tmp_path):
    marker = tmp_path / "marker"

    for name, content in archives(marker).items():
        with pytest.raises(NoPlainArchive):
            read_archive(content)

        assert not marker.exists(), name


@pytest.mark.filterwarnings("ignore")
def test_a_resumed_run_refuses_them_in_words_and_changes_nothing(folder, tmp_path):
    marker = tmp_path / "marker"

    for content in archives(marker).values():
        (folder / run_checkpoint.FILE).write_bytes(content)
        before = contents(folder)

        result = dux("run", "--resume", folder)

        refused_in_one_line(result, "cannot be used")
        assert not marker.exists()
        assert before == contents(folder)


def places(value, path=()):
    """One place of every kind: of a list, or of numbered keys, the first."""
    yield path
    if isinstance(value, dict):
        numbered = [key for key in value if not isinstance(key, str)]
        for key in [key for key in value if isinstance(key, str)] + numbered[:1]:
            yield from places(value[key], (*path, key))
    elif isinstance(value, list | tuple) and value:
        yield from places(value[0], (*path, 0))


def replaced(value, path, new):
    if not path:
        return new
    name, *rest = path
    if isinstance(value, dict):
        return {**value, name: replaced(value[name], rest, new)}
    return type(value)([replaced(value[0], rest, new), *value[1:]])


ODD = [None, -1, 10**30, float("nan"), "text", [], {}, torch.zeros(3)]


@pytest.mark.parametrize("part", ["trace", "course", "positions", "model", "seconds"])
def test_no_part_of_a_checkpoint_is_taken_on_trust(folder, part):
    sound = run_checkpoint.load(folder)
    tried = 0
    for path in places({part: sound[part]}):
        for odd in ODD if path else ():
            run_checkpoint.save(folder, replaced(sound, path, odd))

            result = dux("run", "--resume", folder)

            ended_in_words(result)
            tried += result.exit_code == 2
            if result.exit_code == 0:
                return  # it went on, and the folder is another one now
    assert tried
