"""What a benchmark measured, and the bar it was measured against."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Measurement:
    """One figure.

    Attributes:
        name: what was measured, in words.
        value: the figure.
        bar: what it must stay below, in the same unit.
        unit: "%", "s", "ms", "us", "KiB" or "times".
        detail: on what, how often, and the spread.
    """

    name: str
    value: float
    bar: float
    unit: str
    detail: str

    @property
    def ok(self) -> bool:
        """Whether the bar was kept."""
        return self.value < self.bar

    def __str__(self) -> str:
        verdict = "kept" if self.ok else "MISSED"
        return (
            f"{self.name}: {self.value:.2f} {self.unit} "
            f"(bar {self.bar:g} {self.unit}: {verdict}); {self.detail}"
        )
