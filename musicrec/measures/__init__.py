"""What is measured of lists: numpy and torch, without Spark."""
