"""What is said of a study of hyperparameters, and how its replies are read."""
