"""Rewrites a source by rules of thumb until it is acceptable, or no rule is left."""
