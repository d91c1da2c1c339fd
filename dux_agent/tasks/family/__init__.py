"""Small tasks to judge optimizers by: many kinds of network, each with many bases."""
