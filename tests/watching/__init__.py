"""Tests of `dux_agent.watching`."""
