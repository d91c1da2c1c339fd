"""The Transformer of the task imdb: one pre-norm block over word embeddings."""

from torch import Tensor, nn
from torch.nn import functional


class Block(nn.Module):
    """Self-attention and an MLP, each behind a LayerNorm and beside a short cut."""

    def __init__(self, width: int, heads: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.norm1 = nn.LayerNorm(width)
        self.norm2 = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.mlp = nn.Sequential(
            nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, width)
        )
        self.drop = nn.Dropout(dropout)

    def forward(self, words: Tensor, mask: Tensor) -> Tensor:
        """(batch, length, width), mask (batch, 1, 1, length) bool -> as `words`."""
        batch, length, width = words.shape
        parts = self.qkv(self.norm1(words))
        parts = parts.view(batch, length, 3, self.heads, width // self.heads)
        query, key, value = parts.permute(2, 0, 3, 1, 4)
        seen = functional.scaled_dot_product_attention(
            query, key, value, attn_mask=mask
        )
        seen = seen.transpose(1, 2).reshape(batch, length, width)
        words = words + self.drop(self.out(seen))
        mixed: Tensor = words + self.drop(self.mlp(self.norm2(words)))
        return mixed


class SentimentTransformer(nn.Module):
    """Word and position embeddings, blocks, the mean over real words, one logit.

    The order in which the layers are made is part of the task's definition: each
    draws its initial weights from torch's global generator.
    """

    def __init__(
        self,
        vocabulary: int,
        length: int,
        *,
        width: int = 32,
        heads: int = 2,
        hidden: int = 64,
        blocks: int = 1,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        self.words = nn.Embedding(vocabulary, width, padding_idx=0)
        self.places = nn.Embedding(length, width)
        nn.init.normal_(self.words.weight, std=0.1)
        nn.init.normal_(self.places.weight, std=0.02)
        self.blocks = nn.ModuleList(
            Block(width, heads, hidden, dropout) for _ in range(blocks)
        )
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, 1)
        self.drop = nn.Dropout(dropout)

    def forward(self, ids: Tensor) -> Tensor:
        """Word ids (batch, length), int64, 0 padding -> logits (batch,), float32."""
        real = ids != 0
        words = self.drop(self.words(ids) + self.places.weight[None, : ids.shape[1]])
        for block in self.blocks:
            words = block(words, real[:, None, None, :])
        weight = real.float().unsqueeze(-1)
        mean = (words * weight).sum(1) / weight.sum(1).clamp(min=1)
        logit: Tensor = self.head(self.norm(mean)).squeeze(-1)
        return logit
