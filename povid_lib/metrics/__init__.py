"""Measures of hallucination: pure functions over plain records, knowing no world and no model."""
