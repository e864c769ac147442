"""The one-machine stack: a real Triton, the orchestrator, and a supervisor that keeps them answering."""
