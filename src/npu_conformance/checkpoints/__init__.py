"""What is on disk as a checkpoint: read from headers, before any engine starts."""
