"""What is said to the model, and how its reply is read."""
