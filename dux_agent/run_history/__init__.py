"""A run folder read back, as the report, the export and other tools tell it."""
