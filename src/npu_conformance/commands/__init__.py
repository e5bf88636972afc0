"""A subcommand a file or folder."""
