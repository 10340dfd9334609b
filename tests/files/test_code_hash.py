"""The digest of code: it follows what is reached, and nothing else."""

import pytest

from povid_lib.files.code_hash import code_hash, entry_name, reached
from povid_lib.metrics.stats import mean

FILES = {
    "__init__.py": "",
    "top.py": '''"""Text."""
from povid_lib import low as lower
from povid_lib.other import helper

LIMIT = 3


def run(x: int) -> int:
    """More."""
    words = [word for word in "ab"]  # so
    return lower.half(x) + helper(x) + LIMIT + len(words)


def unused():
    return 1
''',
    "low.py": "def half(x):\n    return _cut(x) / 2\n\n\ndef _cut(x):\n    return x\n\n\nword = 5\n",
    "other.py": 'from pathlib import Path\n\nTABLE = Path(__file__).parent / "data.txt"\n\n\ndef helper(x):\n    return TABLE, x\n',
    "data.txt": "one",
}
ENTRY = ["povid_lib.top:run"]


@pytest.fixture
def base(tmp_path, request):
    """A package of its own in an empty folder; every call a new folder, as modules are read once."""
    count = iter(range(100))

    def write(**changes: str):
        folder = tmp_path / str(next(count))
        (folder / "povid_lib").mkdir(parents=True)
        for name, text in (FILES | {k.replace("__dot__", "."): v for k, v in changes.items()}).items():
            (folder / "povid_lib" / name).write_text(text)
        return folder

    return write


def changed(name: str, *pair: str) -> dict[str, str]:
    assert pair[0] in FILES[name]
    return {name.replace(".", "__dot__"): FILES[name].replace(*pair)}


def test_what_is_reached(base):
    assert reached(ENTRY, base()) == [
        "povid_lib.low:", "povid_lib.low:_cut", "povid_lib.low:half", "povid_lib.other:", "povid_lib.other:TABLE",
        "povid_lib.other:helper", "povid_lib.top:", "povid_lib.top:LIMIT", "povid_lib.top:run",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "change",
    [
        ("top.py", "+ LIMIT", "- LIMIT"),
        ("top.py", "LIMIT = 3", "LIMIT = 4"),
        ("low.py", "return x\n", "return x + 1\n"),  # two calls away
        ("other.py", "return TABLE, x", "return x, TABLE"),
        ("data.txt", "one", "two"),
    ],
)
def test_a_change_of_what_is_reached_changes_it(base, change):
    assert code_hash(ENTRY, base(**changed(*change))) != code_hash(ENTRY, base())


@pytest.mark.parametrize(
    "change",
    [
        ("top.py", '"""More."""', '"""Other."""'),
        ("top.py", "  # so", ""),
        ("top.py", "x: int) -> int", "x: float) -> float"),
        ("top.py", "return 1\n", "return 2\n"),  # nobody calls it
        ("top.py", "import low as lower", "import low"),
        ("low.py", "word = 5", "word = 6"),  # only a comprehension's variable bears its name
    ],
)
def test_other_changes_leave_it(base, change):
    text = changed(*change)
    if "import low\n" in text.get("top__dot__py", ""):
        text = {"top__dot__py": text["top__dot__py"].replace("lower.half", "low.half")}
    assert code_hash(ENTRY, base(**text)) == code_hash(ENTRY, base())


def test_a_move_leaves_it(base):
    moved = base(
        top__dot__py=FILES["top.py"].replace("from povid_lib import low as lower", "from povid_lib.deep import half").replace(
            "lower.half(x)", "half(x)"
        ),
        deep__dot__py=FILES["low.py"],
        low__dot__py="",
    )  # fmt: skip
    assert code_hash(ENTRY, moved) == code_hash(ENTRY, base())


def test_names_of_entries():
    assert entry_name(mean) == "povid_lib.metrics.stats:mean"
    assert entry_name("povid_lib.metrics.stats") == "povid_lib.metrics.stats"
    with pytest.raises(ValueError, match="nothing"):
        code_hash(["povid_lib.metrics.stats:nothing"])
