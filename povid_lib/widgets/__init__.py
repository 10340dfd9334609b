"""Widgets that stay alive in the static page."""
