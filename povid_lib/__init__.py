"""Measuring hallucination in vision-language models, and curing it by preference tuning (POVID)."""

__version__ = "0.1.0"
