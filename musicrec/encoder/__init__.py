"""The order of the stages, and the only place that materializes between them.

read → clean → features → sample → train → embed → bucket → join → rank → check → publish
"""
