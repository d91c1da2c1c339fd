"""Members of the family on sequences: two LSTMs, a tiny GPT, a Transformer."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from dux_agent.tasks.family.building import Recipe
from dux_agent.tasks.in_memory import Batch

_LETTERS = 12
_LENGTH = 16


class _Recurrent(nn.Module):
    """An LSTM and a linear layer on its states, or on the last of them."""

    def __init__(self, inputs: int, outputs: int, *, last: bool) -> None:
        super().__init__()
        self.lstm = nn.LSTM(inputs, 32, batch_first=True)
        self.head = nn.Linear(32, outputs)
        self._last = last

    def forward(self, sequence: Tensor) -> Tensor:
        """(batch, length, inputs) -> (batch, length, outputs), or the last of those."""
        states, _ = self.lstm(sequence)
        said: Tensor = self.head(states[:, -1] if self._last else states)
        return said


def adding() -> Recipe:
    """The sum of the two numbers of a sequence that are marked."""

    def data(count: int, generator: torch.Generator) -> Batch:
        numbers = torch.rand(count, 12, generator=generator)
        places = torch.rand(count, 12, generator=generator).topk(2, dim=1).indices
        marks = torch.zeros(count, 12).scatter_(1, places, 1.0)
        total = (numbers * marks).sum(dim=1, keepdim=True)
        return torch.stack([numbers, marks], dim=2), total

    return Recipe(
        data,
        lambda: _Recurrent(2, 1, last=True),
        functional.mse_loss,
        "mean squared error",
        sgd=0.1,
        adam=5e-3,
    )


def copying() -> Recipe:
    """Three letters are read, then a blank, then they are to be said again."""

    def data(count: int, generator: torch.Generator) -> Batch:
        said = torch.randint(1, 5, (count, 3), generator=generator)
        read = torch.cat([said, torch.zeros(count, 4, dtype=torch.long)], dim=1)
        return functional.one_hot(read, 5).float(), said

    def loss(states: Tensor, said: Tensor) -> Tensor:
        return functional.cross_entropy(states[:, -3:].flatten(0, 1), said.flatten())

    return Recipe(
        data,
        lambda: _Recurrent(5, 5, last=False),
        loss,
        "cross entropy",
        sgd=1.0,
        adam=0.02,
    )


class _Blocks(nn.Module):
    """Embeddings with places, two pre-norm blocks, and a linear layer."""

    def __init__(self, outputs: int, *, dropout: float, causal: bool) -> None:
        super().__init__()
        self.letters = nn.Embedding(_LETTERS, 24)
        self.places = nn.Parameter(0.02 * torch.randn(_LENGTH, 24))
        self.blocks = nn.ModuleList(
            nn.TransformerEncoderLayer(
                24, 2, 48, dropout, "gelu", batch_first=True, norm_first=True
            )
            for _ in range(2)
        )
        self.head = nn.Linear(24, outputs)
        self._causal = causal

    def forward(self, letters: Tensor) -> Tensor:
        """(batch, length) -> (batch, length, outputs), or (batch, outputs)."""
        states = self.letters(letters) + self.places
        mask = None
        if self._causal:
            ones = torch.ones(_LENGTH, _LENGTH, dtype=torch.bool, device=states.device)
            mask = ones.triu(1)
        for block in self.blocks:
            states = block(states, src_mask=mask)
        said: Tensor = self.head(states if self._causal else states.mean(dim=1))
        return said


def char_gpt() -> Recipe:
    """The next letter of texts in which each follows from the two before it."""
    generator = torch.Generator().manual_seed(9_101)
    odds = 3 * torch.randn(_LETTERS, _LETTERS, _LETTERS, generator=generator)

    def data(count: int, drawing: torch.Generator) -> Batch:
        text = torch.randint(_LETTERS, (count, 2), generator=drawing)
        for _ in range(_LENGTH - 1):
            chances = odds[text[:, -2], text[:, -1]].softmax(dim=1)
            next_ones = torch.multinomial(chances, 1, generator=drawing)
            text = torch.cat([text, next_ones], dim=1)
        return text[:, :-1], text[:, 1:]

    def loss(logits: Tensor, letters: Tensor) -> Tensor:
        return functional.cross_entropy(logits.flatten(0, 1), letters.flatten())

    return Recipe(
        data,
        lambda: _Blocks(_LETTERS, dropout=0.0, causal=True),
        loss,
        "cross entropy",
        sgd=0.1,
        adam=5e-3,
        samples=512,
    )


def transformer() -> Recipe:
    """Whether one letter is there more often than another; with dropout."""

    def data(count: int, generator: torch.Generator) -> Batch:
        letters = torch.randint(_LETTERS, (count, _LENGTH), generator=generator)
        often = (letters < 4).sum(dim=1) - (letters >= 8).sum(dim=1)
        return letters, (often > 0).long()

    return Recipe(
        data,
        lambda: _Blocks(2, dropout=0.1, causal=False),
        functional.cross_entropy,
        "cross entropy",
        sgd=0.03,
        adam=2e-3,
        samples=512,
    )
