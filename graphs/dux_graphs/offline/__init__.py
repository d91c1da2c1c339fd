"""The rules of the offline model: read the prompt, decide, write the class."""

from dux_graphs.offline.model import OfflineRules as OfflineRules
