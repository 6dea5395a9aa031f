"""The join for anyone's vectors."""
