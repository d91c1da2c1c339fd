"""Tools for coding agents: check, fuzz, trace and report over the MCP protocol."""
