"""Tasks for studies: small models on small data, toy functions, a table."""
