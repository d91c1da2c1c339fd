"""A run while it goes on, as a page on the loopback: `dux watch`."""
