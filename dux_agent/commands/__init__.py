"""The commands of `dux`, one function each; `dux_agent.cli` gives them names."""
