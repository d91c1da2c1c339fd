"""The LangGraph machine of one trial of a study, and its offline rule."""
