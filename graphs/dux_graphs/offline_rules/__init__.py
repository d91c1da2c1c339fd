"""The rules of the offline model: read the prompt, decide, write the class."""
