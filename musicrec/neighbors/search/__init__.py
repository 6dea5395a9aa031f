"""numpy and torch only, never pyspark: what can be tested without a JVM."""
