"""Jobs in worker processes: described, started, watched and ended; what a job computes is elsewhere."""
