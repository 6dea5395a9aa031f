"""How the encoder learns: torch and numpy, without Spark."""
