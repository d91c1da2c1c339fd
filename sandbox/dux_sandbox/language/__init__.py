"""What a source may say: names, size, syntax, the contract of its class."""
