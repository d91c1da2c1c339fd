"""The rules of the offline model: read the prompt, decide, write the class."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dux_graphs.offline.model import OfflineRules as OfflineRules


def __getattr__(name: str) -> Any:
    # A former name. Its module brings LangChain, which others here do without.
    if name == "OfflineRules":
        from dux_graphs.offline.model import OfflineRules

        return OfflineRules
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
