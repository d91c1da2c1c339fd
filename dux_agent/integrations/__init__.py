"""Agents in training frameworks, and a run's events in other tools."""
