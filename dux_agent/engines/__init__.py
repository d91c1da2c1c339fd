"""Workers for a search, a study or a table: processes here, or in a cluster."""
