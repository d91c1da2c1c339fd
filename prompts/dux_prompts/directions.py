"""Directions in which proposals that are written at the same time are to differ."""

DIRECTIONS = (
    "keep the kind of rule that is live and change its rate over the steps ahead",
    "another preconditioner: second moments, factored or not, or orthogonal steps",
    "another momentum: Nesterov's, two time scales, or steps by sign alone",
    "what limits a step: clipping, trust ratios by layer, decoupled weight decay",
    "averages of the weights, or a look ahead, around a rule of your choice",
    "another treatment of each kind of layer: matrices, biases, norms, embeddings",
    "robustness to noise: smaller steps where gradients disagree, larger where not",
)


def direction(number: int) -> str:
    """What a proposal is told that is written beside others.

    Args:
        number: which of them it is, from 2; the first is told nothing.

    >>> direction(2).splitlines()[-1]
    'keep the kind of rule that is live and change its rate over the steps ahead.'
    """
    told = DIRECTIONS[(number - 2) % len(DIRECTIONS)]
    return (
        "The others are written at the same time, each in a direction of its own, so\n"
        f"you cannot see them. Look for yours in this one:\n{told}.\n"
    )
