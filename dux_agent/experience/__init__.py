"""A library of what trainings have taught: kept in one file, recalled by likeness."""
