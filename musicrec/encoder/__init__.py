"""Tracks → embeddings: sample, train, gate, embed."""
