"""Embeddings → the nearest items of each item: pack, plan, cells, truth, tune, join."""
