"""The only code that knows how Spark is started, spoken to and fails."""
