"""Learns from run folders: which entries a library gets of them, and their lessons."""
