"""Who is asked for what in a decision, and which of the proposals goes on."""
