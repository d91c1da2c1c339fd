"""The members of the family, and what each is for; imports no torch.

What the offline model's rules are written on is `train`, what their thresholds are
chosen on is `validation`, and what is reported is `test`: no rule was ever tried on
those before it was frozen. Of the tasks outside the family `digits`, `mnist`, `sine`
and `imdb` count as `train`.
"""

from dataclasses import dataclass
from typing import Literal

from dux_agent.errors import BadArgument

Purpose = Literal["train", "validation", "test"]


@dataclass(frozen=True)
class Member:
    """One task of the family.

    Attributes:
        module: of `dux_agent.tasks.family`, whose function of the member's name, with
            underscores, makes it.
        purpose: what it may be used for.
        what: in a few words.
    """

    module: str
    purpose: Purpose
    what: str


MEMBERS = {
    "conv-net": Member("pictures", "train", "convolutional net"),
    "autoencoder": Member("pictures", "train", "autoencoder of pictures"),
    "deep-tanh": Member("vectors", "train", "tanh MLP of six layers"),
    "logistic": Member("vectors", "train", "logistic regression"),
    "adding": Member("sequences", "validation", "LSTM that adds two marked numbers"),
    "char-gpt": Member("sequences", "validation", "tiny GPT on characters"),
    "embedding-bag": Member("vectors", "validation", "recommender; few rows a batch"),
    "badly-scaled": Member("vectors", "validation", "regression, inputs badly scaled"),
    "conv-norm": Member("pictures", "test", "convolutional net with BatchNorm"),
    "residual": Member("pictures", "test", "residual net with BatchNorm"),
    "variational": Member("pictures", "test", "variational autoencoder of pictures"),
    "contrastive": Member("pictures", "test", "contrastive pairs of pictures"),
    "fine-tuning": Member("pictures", "test", "convolutional net that was trained"),
    "copying": Member("sequences", "test", "LSTM that says what it has read"),
    "transformer": Member("sequences", "test", "Transformer classifier, dropout"),
    "deep-sigmoid": Member("vectors", "test", "sigmoid MLP of four layers"),
    "physics": Member("vectors", "test", "physics-informed net of a boundary problem"),
}

BASES = {
    "sgd": "SGD with momentum 0.9 at a good rate",
    "sgd-slow": "the same at a hundredth of it",
    "sgd-fast": "the same at ten times of it",
    "sgd-cosine": "the good one, with a cosine schedule of its own",
    "adam": "Adam at a good rate",
    "adam-slow": "the same at a hundredth of it",
    "adam-fast": "the same at thirty times of it",
    "adam-cycle": "the good one, warmed up and cooled down by a schedule of its own",
}
"""What a member can begin with: `NAME@BASE`; "sgd" where none is named."""


def is_member(name: str) -> bool:
    """Whether the name is one of the family's, with or without a base."""
    return name.partition("@")[0] in MEMBERS


def parts_of(name: str) -> tuple[str, str]:
    """The member and its base.

    >>> parts_of("conv-net"), parts_of("conv-net@adam-slow")
    (('conv-net', 'sgd'), ('conv-net', 'adam-slow'))

    Raises:
        BadArgument: there is no such base.
    """
    member, at, base = name.partition("@")
    base = base if at else "sgd"
    if base not in BASES:
        raise BadArgument(
            f"{name!r} names the base {base!r}; one of {', '.join(BASES)} was wanted "
            f"behind the @; pick one, or leave @ and all behind it out."
        )
    return member, base


def names_for(purpose: Purpose) -> list[str]:
    """The members that are for it, each with every base."""
    members = [name for name, one in MEMBERS.items() if one.purpose == purpose]
    return [f"{member}@{base}" for member in members for base in BASES]
