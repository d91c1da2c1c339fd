"""The LangGraph state machines and the chat models; knows no tensor."""

from dux_sandbox.former_modules import keep_former_names

keep_former_names({"dux_graphs.offline_rules": "dux_graphs.offline"})
