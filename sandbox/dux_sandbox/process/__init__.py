"""The jailed process that a rule runs in, and the trainer's side of it."""
