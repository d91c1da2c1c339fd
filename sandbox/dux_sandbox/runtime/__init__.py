"""What a rule meets when it runs: guards, a facade for torch, builtins, classes."""
