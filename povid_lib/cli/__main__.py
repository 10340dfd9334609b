"""``python -m povid_lib.cli``, for launchers that start modules."""

from povid_lib.cli.main import main

main()
