"""Preference pairs: the record, its files, corrupting text and images, auditing a set."""
