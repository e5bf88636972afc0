"""Model configs, prompt sets and limits: what a user writes, read and checked."""
