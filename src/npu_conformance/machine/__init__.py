"""The machine: its devices and who has them, what of it this process may take, its CANN."""
