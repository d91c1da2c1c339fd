"""Makes one source of what stands in files: the class that is meant, what it needs."""
