"""A submission's functions are found by name, whatever became of its cells."""

import json

import pytest

from povid_lib.course.grading.submission import functions

STUB = 'def half(x):\n    """Half."""\n    # your code\n'
ANSWER = 'def half(x):\n    """Half."""\n    return x / 2\n'


def notebook(*cells):
    made = [
        {"cell_type": "code", "metadata": {}, "source": cell, "outputs": [], "execution_count": None} for cell in cells
    ]
    return json.dumps({"cells": made, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}).encode()


def found(*cells):
    return functions(notebook(*cells), True, {"half": STUB, "other": "def other(x):\n    # your code\n    pass"})


@pytest.mark.parametrize(
    "cells",
    [
        (ANSWER,),
        (STUB, ANSWER),
        (ANSWER, STUB),  # a duplicated cell below the answer
        (ANSWER, ANSWER),
        ("raise RuntimeError", ANSWER, "1 / 0"),
        ("for x in range(10): print(x", ANSWER),
        ("%matplotlib inline\n!pip install x\nhalf?", ANSWER),
        ("%%bash\nrm -rf /", ANSWER),
        ("import numpy as np", "def half(x):\n    return np.divide(x, 2)"),
        ("def half(x):\n    return x / TWO", "TWO = 2"),
        ("def half(x):\n    return _half(x)", "def _half(x):\n    return x / TWO[0]", "TWO = []\nTWO.append(2)"),
        ("A = B + 1", "B = 1", "def half(x):\n    return x / A"),  # moved above what it needs
        ("from math import *", "def half(x):\n    return x / floor(2.5)"),
        ("import math as m, numpy as np", "half = lambda x: x / m.floor(2.5)"),
        ("import os.path", "def half(x):\n    return os.path.sep and x / 2"),
        ("try:\n    from nowhere import two\nexcept ImportError:\n    two = 2", "def half(x):\n    return x / two"),
        ("table = {}\ntable['two'] = 2", "def half(x):\n    return x / table['two']"),
        ("class Half:\n    def __call__(self, x):\n        return x / 2\nhalf = Half()",),
        ("import functools", "@functools.lru_cache\ndef half(x):\n    return x / 2"),
        ("def half(x):\n    return x", "def half(x):\n    return x / 2"),  # the last one counts, as when all is run
        (ANSWER, "quit()", "while True: pass"),  # nothing is run that the functions do not need
        (ANSWER, "attempt(check_half, half)"),
    ],
)
def test_the_function_is_found_and_works(cells):
    names, _ = found(*cells)
    assert names["half"](8) == 4


def test_python_files_are_cut_at_their_cells_so_that_one_bad_cell_harms_no_other():
    text = f"# %% one\nthis is no python\n# %%\n{ANSWER}\n#%%\nmore of it ("
    names, notes = functions(text.encode(), False, {"half": STUB})
    assert names["half"](8) == 4
    assert [note.split(",")[0] for note in notes] == ["cell 2", "cell 4"]


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "The file is empty"),
        (b"\xff\xfe", "cannot be read as a notebook"),
        (b"{", "cannot be read as a notebook"),
        (b"[]", "cannot be read as a notebook"),
        (b'{"cells": 3}', "cannot be read as a notebook"),
        (b'{"cells": [{"cell_type": "code"}]}', "cannot be read as a notebook"),
        (b"[" * 100_000, "cannot be read as a notebook"),
        (notebook("def half(x:\n"), "cell 1, line 1: SyntaxError; this cell was left out"),
        (notebook("def half(x=1/0):\n    return 4"), "cell 1: ZeroDivisionError in the statement at `half`"),
        (notebook("(" * 10_000), "cell 1"),
        (notebook("half = \x00"), "cell 1"),
    ],
)
def test_what_is_broken_is_noted_and_raises_nothing(data, told):
    names, notes = functions(data, True, {"half": STUB})
    assert names == {}
    assert notes[0].startswith(told) or told in notes[0]


def test_a_missing_function_is_not_there_and_an_untouched_stub_is():
    names, notes = found(STUB)
    assert set(names) == {"half"}
    assert names["half"](3) is None
    assert notes == []
