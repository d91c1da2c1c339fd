"""The search for optimizers between trainings: who is bred of whom, and who goes on."""
