"""One model against one truth."""
