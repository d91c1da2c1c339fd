"""Studies: a language model tunes hyperparameters, one trial after the other."""
