"""One run: from selected models and variants to evidence, each piece of work done once."""
