"""How the laws are put to the test: cases, experiments, and scripts that show them."""
