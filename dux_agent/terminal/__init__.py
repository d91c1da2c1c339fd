"""What the command line shows: progress, tables, one decision, a file's faults."""
