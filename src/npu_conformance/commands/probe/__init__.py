"""Whether the suite's own machinery holds in this machine's engine: to be verified before its verdicts count."""
