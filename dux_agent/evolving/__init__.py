"""`dux evolve`: a search for optimizers over tasks, in processes, with a journal."""
