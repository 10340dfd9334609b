"""Figures of the book, in Matplotlib."""
