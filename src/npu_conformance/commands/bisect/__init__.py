"""Where a failing engine begins to fail: which features, at which position, in which layer."""
