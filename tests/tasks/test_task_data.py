"""mnist and imdb from small parquet files laid out as the real ones are."""

import numpy as np
import pytest
import torch

from dux_agent import tasks
from dux_agent.errors import DataMissing
from dux_agent.tasks.array_cache import cached
from dux_agent.tasks.cache_folder import folder as cache_folder
from dux_agent.tasks.imdb import ranked

datasets = pytest.importorskip("datasets")
Image = pytest.importorskip("PIL.Image")


@pytest.fixture
def data(tmp_path, monkeypatch):
    monkeypatch.setenv("DUX_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("DUX_CACHE", str(tmp_path / "cache"))
    return tmp_path / "data"


def save(folder, which, split, columns, features=None):
    path = folder / which / f"{split}-00000-of-00001.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    datasets.Dataset.from_dict(columns, features=features).to_parquet(str(path))


def save_mnist(folder, shade):
    features = datasets.Features(
        {"image": datasets.Image(), "label": datasets.ClassLabel(num_classes=10)}
    )
    for split, count in (("train", 6), ("test", 4)):
        pictures = [
            Image.fromarray(np.full((28, 28), shade + i, np.uint8))
            for i in range(count)
        ]
        labels = [i % 10 for i in range(count)]
        columns = {"image": pictures, "label": labels}
        save(folder, "mnist", split, columns, features)


def save_imdb(folder):
    reviews = ["Good<br />good FILM", "bad film", "bad, BAD it's bad"]
    save(folder, "imdb", "train", {"text": reviews, "label": [1, 0, 0]})
    save(folder, "imdb", "test", {"text": ["good unheard-of"], "label": [1]})


@pytest.mark.filterwarnings("default")
def test_mnist_is_pixels_from_0_to_1_in_the_order_of_the_file(data):
    save_mnist(data, shade=51)

    inputs, targets = tasks.build("mnist", seed=0).splits["train"]

    assert (6, 784) == tuple(inputs.shape)
    assert torch.float32 == inputs.dtype
    assert inputs[:, 0].tolist() == pytest.approx([(51 + i) / 255 for i in range(6)])
    assert [0, 1, 2, 3, 4, 5] == targets.tolist()


@pytest.mark.filterwarnings("default")
def test_a_cache_of_other_data_is_not_used(data):
    save_mnist(data, shade=51)
    before = tasks.build("mnist", seed=0).splits["test"][0]

    save_mnist(data, shade=102)
    after = tasks.build("mnist", seed=0).splits["test"][0]

    assert 51 / 255 == pytest.approx(before[0, 0].item())
    assert 102 / 255 == pytest.approx(after[0, 0].item())


@pytest.mark.filterwarnings("default")
def test_imdb_is_ids_of_the_most_frequent_training_words(data):
    save_imdb(data)

    splits = tasks.build("imdb", seed=0).splits

    # bad 4, film 2, good 2, it's 1: ids from 2 on, ties in alphabetical order.
    rows = {tuple(row[row > 0].tolist()) for row in splits["train"][0]}
    assert {(4, 4, 3), (2, 3), (2, 2, 5, 2)} == rows
    assert [[4, 1, 1]] == splits["test"][0][:, :3].tolist()
    assert (1, 128) == tuple(splits["test"][0].shape)


def test_only_the_498_most_frequent_words_have_ids_of_their_own():
    reviews = [[f"word{i:03}"] * (1000 - i) for i in range(600)]

    rank = ranked(reviews)

    assert 498 == len(rank)
    assert (2, 499) == (rank["word000"], rank["word497"])


@pytest.mark.filterwarnings("default")
def test_a_file_without_the_columns_wanted_is_no_riddle(data):
    save(data, "imdb", "train", {"review": ["good"], "label": [1]})
    save(data, "imdb", "test", {"review": ["good"], "label": [1]})

    with pytest.raises(DataMissing, match="has no column 'text'"):
        tasks.build("imdb", seed=0)


def test_arrays_are_made_once_and_kept(data):
    made = []

    def make():
        made.append(1)
        return {"x": np.arange(3)}

    first = cached("set", "identity", make)
    second = cached("set", "identity", make)

    assert [1] == made
    assert first["x"].tolist() == second["x"].tolist() == [0, 1, 2]


def test_arrays_of_another_identity_are_made_again(data):
    cached("set", "one", lambda: {"x": np.array([1])})

    other = cached("set", "two", lambda: {"x": np.array([2])})

    assert [2] == other["x"].tolist()


@pytest.mark.parametrize("content", [b"", b"junk", b"PK\x03\x04 cut"])
def test_a_damaged_cache_costs_time_and_nothing_else(data, content):
    cached("set", "one", lambda: {"x": np.array([1])})
    (file,) = cache_folder().iterdir()
    file.write_bytes(content)

    again = cached("set", "one", lambda: {"x": np.array([1])})

    assert [1] == again["x"].tolist()
    with np.load(file) as mended:
        assert ["x"] == mended.files


def test_a_cache_that_cannot_be_written_costs_time_and_nothing_else(
    tmp_path, monkeypatch
):
    (tmp_path / "file").touch()
    monkeypatch.setenv("DUX_CACHE", str(tmp_path / "file" / "cache"))

    held = cached("set", "one", lambda: {"x": np.array([1])})

    assert [1] == held["x"].tolist()


def test_without_dux_cache_the_users_cache_folder_is_used(monkeypatch):
    monkeypatch.delenv("DUX_CACHE", raising=False)

    assert "dux-agent" == cache_folder().name
