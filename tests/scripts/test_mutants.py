"""What is read out of mutmut's print-outs, and that no share is given of what has not been tried."""

import pytest

from scripts import mutants

PRINTED = """
    povid_lib.metrics.stats.x_mean__mutmut_1: killed
    povid_lib.metrics.stats.x_mean__mutmut_2: survived
    povid_lib.metrics.stats.x_mean__mutmut_3: timeout
    povid_lib.metrics.stats.x_mean__mutmut_4: no tests
"""


def test_the_share_counts_what_is_killed_and_what_runs_for_ever():
    found = mutants.statuses(PRINTED)
    assert list(found.values()) == ["killed", "survived", "timeout", "no tests"]
    assert mutants.noticed(found) == 0.5


@pytest.mark.parametrize("found", [{}, {"a": "killed", "b": "not checked"}])
def test_there_is_no_share_of_what_was_not_tried(found):
    with pytest.raises(ValueError, match="mutants"):
        mutants.noticed(found)


def test_of_a_difference_the_lines_that_change_are_left():
    shown = "# a: survived\n--- a.py\n+++ a.py\n@@ -1,3 +1,3 @@\n def f(x):\n-    return x + 1\n+    return x - 1\n"
    assert mutants.change(shown) == "- return x + 1\n+ return x - 1"
