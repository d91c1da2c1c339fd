"""The dry run from the inside: copies, two trainings side by side, the judgement."""
