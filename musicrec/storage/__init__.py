"""The only code that knows paths and formats."""
