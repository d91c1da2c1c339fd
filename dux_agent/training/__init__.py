"""What is alive in one training, and what an agent and its prompts know of it."""
