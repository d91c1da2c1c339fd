"""One decision after another: what the model is shown, what is tried, what is kept."""
