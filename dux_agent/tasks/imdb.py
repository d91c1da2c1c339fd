"""The task imdb: a small Transformer on film reviews, 250 steps an epoch.

A review is its first 128 words as ids: 0 padding, 1 any other word, from 2 on the
498 most frequent words of the training reviews.
"""

import re
from collections import Counter

import numpy as np
import torch
from torch.nn import functional

from dux_agent.tasks.array_cache import Arrays, cached
from dux_agent.tasks.in_memory import DATA_SEED, InMemoryTask
from dux_agent.tasks.sentiment import SentimentTransformer
from dux_agent.tasks.tables import Table, table

VOCABULARY = 500
LENGTH = 128  # words

_BREAK = re.compile(r"<br\s*/?>")
_WORD = re.compile(r"[a-z0-9']+")


def _words(table_of_reviews: Table) -> tuple[list[list[str]], list[int]]:
    reviews, labels = [], []
    for row in table_of_reviews.rows:
        reviews.append(_WORD.findall(_BREAK.sub(" ", row["text"].lower())))
        labels.append(row["label"])
    return reviews, labels


def ranked(reviews: list[list[str]]) -> dict[str, int]:
    """The ids of the most frequent words, ties in alphabetical order.

    >>> ranked([["b", "a"], ["b", "c"]])
    {'b': 2, 'a': 3, 'c': 4}
    """
    count = Counter(word for review in reviews for word in review)
    often = sorted(count.items(), key=lambda item: (-item[1], item[0]))
    return {word: i + 2 for i, (word, _) in enumerate(often[: VOCABULARY - 2])}


def _ids(reviews: list[list[str]], rank: dict[str, int]) -> np.ndarray:
    ids = np.zeros((len(reviews), LENGTH), np.int64)
    for row, review in enumerate(reviews):
        known = [rank.get(word, 1) for word in review[:LENGTH]]
        ids[row, : len(known)] = known
    return ids


def _decode(train: Table, test: Table) -> Arrays:
    train_reviews, train_labels = _words(train)
    test_reviews, test_labels = _words(test)
    rank = ranked(train_reviews)
    return {
        "train_ids": _ids(train_reviews, rank),
        "train_labels": np.array(train_labels, dtype=np.int64),
        "test_ids": _ids(test_reviews, rank),
        "test_labels": np.array(test_labels, dtype=np.int64),
    }


def _rows(count: int, total: int, salt: int) -> np.ndarray:
    # numpy's legacy generator, whose stream is frozen for ever.
    return np.random.RandomState(DATA_SEED + salt).permutation(total)[:count]


def build(
    seed: int, *, device: torch.device | None = None, dtype: torch.dtype | None = None
) -> InMemoryTask:
    """The task with the initial weights of `seed`.

    Raises:
        DataMissing: IMDB cannot be had, see `dux_agent.tasks.tables`.
    """
    train, test = table("imdb", "train"), table("imdb", "test")
    arrays = cached(
        "imdb",
        f"{train.identity} {test.identity} {VOCABULARY} {LENGTH}",
        lambda: _decode(train, test),
    )
    ids = torch.from_numpy(arrays["train_ids"])
    labels = torch.from_numpy(arrays["train_labels"]).float()
    test_ids = torch.from_numpy(arrays["test_ids"])
    test_labels = torch.from_numpy(arrays["test_labels"]).float()
    chosen, kept = _rows(4000, len(ids), salt=21), _rows(2000, len(test_ids), salt=22)

    torch.manual_seed(seed)
    model = SentimentTransformer(VOCABULARY, LENGTH)
    return InMemoryTask(
        name="imdb",
        description="Small transformer over IMDB sentiment",
        loss_name="binary cross entropy",
        model=model,
        loss=functional.binary_cross_entropy_with_logits,
        base=lambda: torch.optim.Adam(model.parameters(), lr=1e-3, betas=(0.9, 0.999)),
        batch_size=12,
        seed=seed,
        device=device,
        dtype=dtype,
        splits={
            "train": (ids[chosen[:3000]], labels[chosen[:3000]]),
            "val": (ids[chosen[3000:]], labels[chosen[3000:]]),
            "test": (test_ids[kept], test_labels[kept]),
        },
        evaluation_batch=250,
    )
