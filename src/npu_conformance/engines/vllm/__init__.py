"""vLLM as candidate: its engine, what is asked of it, and what runs inside it."""
