"""Tracks → embeddings: sample, train, gate, features, embed."""
