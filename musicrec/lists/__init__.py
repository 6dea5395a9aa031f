"""Nearest items → what is published: rank, spread, sort, favorites, check."""
