"""A quantised checkpoint into one of plain weights, a block at a time."""
