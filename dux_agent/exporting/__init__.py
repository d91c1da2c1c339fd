"""Rules of a run as modules that need only torch."""
