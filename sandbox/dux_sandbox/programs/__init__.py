"""Programs that train a model: what they define, and how one is run."""
