"""The LangGraph state machines and the chat models; knows no tensor."""
