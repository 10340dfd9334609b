"""The ``povid`` command."""
