"""Whether a checkpoint holds the published weights: a second, independent reading of them, and a comparison."""
