"""How a checkpoint says that it is quantised: where, and by which schema."""
