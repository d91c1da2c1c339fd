"""Where the rows of mnist and imdb come from: a local folder or the hub.

With DUX_DATA=DIR from parquet files laid out as DIR/<set>/<split>-00000-of-00001
.parquet, without it from the Hugging Face hub, or from its cache when offline
(HF_HUB_OFFLINE, HF_DATASETS_OFFLINE). Both are read with `datasets`.
"""

import hashlib
import logging
import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dux_agent.errors import DataMissing

# A parquet file begins and ends with this; looked at first, since the readers log
# several lines about a file that does not.
_MAGIC = b"PAR1"

HUB = {"mnist": "ylecun/mnist", "imdb": "stanfordnlp/imdb"}
_COLUMNS = {"mnist": ("image", "label"), "imdb": ("text", "label")}


@dataclass(frozen=True)
class Table:
    """The rows of one split, not yet decoded.

    Attributes:
        rows: one dict a row, in the order of the file; a picture is a dict that
            holds the "bytes" of its file. They can be gone through once.
        identity: a text that differs where the data differ; keys a cache.
    """

    rows: Iterable[dict[str, Any]]
    identity: str


def table(which: str, split: str) -> Table:
    """The rows of a split ("train", "test") of a set ("mnist", "imdb").

    Raises:
        DataMissing: DUX_DATA lacks them, or the hub cannot be had.
        ModuleNotFoundError: `datasets` is not installed.
    """
    folder = os.environ.get("DUX_DATA")
    if folder:
        return _local(Path(folder).expanduser(), which, split)
    return _from_hub(which, split)


def _local(folder: Path, which: str, split: str) -> Table:
    path = folder / which / f"{split}-00000-of-00001.parquet"
    if not path.is_file():
        found = f"lacks {which}/{path.name}" if folder.is_dir() else "is no folder"
        raise DataMissing(
            f"DUX_DATA={folder} {found}; a folder that holds {which}/{path.name} was "
            f"wanted; point DUX_DATA at it, or unset it to load {HUB[which]} from the "
            f"Hugging Face hub."
        )
    try:
        with path.open("rb") as file:
            identity = hashlib.file_digest(file, "sha256").hexdigest()
            file.seek(0)
            whole = file.read(4) == _MAGIC and file.seek(-4, os.SEEK_END)
            if not whole or file.read(4) != _MAGIC:
                raise DataMissing(_unreadable(path, "it is damaged or no parquet"))
    except OSError as error:
        if isinstance(error, DataMissing):
            raise
        raise DataMissing(_unreadable(path, error)) from None
    return Table(_local_rows(path, _COLUMNS[which]), identity)


def _local_rows(path: Path, columns: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    import datasets

    try:
        # Streamed, so that no second copy of the data is written anywhere; its folder
        # of locks is in the home, which may be nobody's to write.
        with tempfile.TemporaryDirectory() as folder:
            dataset = datasets.load_dataset(
                "parquet",
                data_files=[str(path)],
                split="train",
                streaming=True,
                cache_dir=folder,
            )
            yield from _rows(dataset, columns)
    except Exception as error:  # pyarrow, fsspec and datasets each have their own
        raise DataMissing(_unreadable(path, error)) from None


def _rows(dataset: Any, columns: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    import datasets

    for name, feature in (dataset.features or {}).items():
        if isinstance(feature, datasets.Image):
            # Its own decoding, row by row, took 8 ms a picture instead of 0.3.
            dataset = dataset.cast_column(name, datasets.Image(decode=False))
    for batch in dataset.iter(batch_size=1000):
        for name in columns:
            if name not in batch:
                raise ValueError(f"it has no column {name!r}")
        for values in zip(*(batch[name] for name in columns), strict=True):
            yield dict(zip(columns, values, strict=True))


def _unreadable(path: Path, why: Exception | str) -> str:
    return (
        f"{path} cannot be read: {str(why) or type(why).__name__}; a whole parquet "
        f"file was wanted; fetch it again."
    )


@contextmanager
def _errors_only(logger: str) -> Iterator[None]:
    """Keep a library's warnings from the terminal while it is in use."""
    log = logging.getLogger(logger)
    before = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(before)


def _from_hub(which: str, split: str) -> Table:
    import datasets

    try:
        with _errors_only("huggingface_hub"):  # it logs each of its retries
            dataset = datasets.load_dataset(HUB[which], split=split)
    except Exception as error:  # a dozen libraries' errors mean "not to be had"
        raise DataMissing(
            f"{HUB[which]} cannot be had from the Hugging Face hub: "
            f"{str(error) or type(error).__name__}; network or a cached copy was "
            f"wanted; or set DUX_DATA to a folder that holds "
            f"{which}/{split}-00000-of-00001.parquet."
        ) from None
    # The files of the local copy carry the hub's revision in their names.
    files = sorted(
        f"{file['filename']}:{Path(file['filename']).stat().st_size}"
        for file in dataset.cache_files
    )
    identity = "\n".join([HUB[which], split, str(len(dataset)), *files])
    return Table(_rows(dataset, _COLUMNS[which]), identity)
