"""Is the encoder better than simple methods, on artists that it has never seen?"""
