"""Measures of hallucination: pure functions over plain records."""
