"""What operators ask of an output root, or do to it, between two nights. Starts no Spark."""
