"""How near items are found: numpy, numba and torch, without Spark."""
