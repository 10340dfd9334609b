"""Measuring hallucination in vision-language models, and curing it by preference tuning (POVID)."""

from importlib.metadata import version

__version__ = version("povid-lib")
