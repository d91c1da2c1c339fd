"""The live optimizer, its swaps and its guard."""
