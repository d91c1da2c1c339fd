"""Training loops as people write them, with an agent and against a twin without."""
