"""Every reference can be followed: an entry names its arXiv number, a DOI or an address."""

import re
from pathlib import Path

TEXT = (Path(__file__).parents[2] / "book" / "references.bib").read_text(encoding="utf-8")
WITHOUT = {"holm1979"}  # older than any of the three


def test_every_entry_leads_somewhere():
    entries = dict(re.findall(r"^@\w+\{(\w+),(.*?)^\}", TEXT, re.DOTALL | re.MULTILINE))
    assert len(entries) == TEXT.count("\n@") + 1
    followed = {
        key for key, entry in entries.items() if re.search(r"^ *(eprint|doi|url) *= *\{\S+\}", entry, re.MULTILINE)
    }
    assert entries.keys() - followed == WITHOUT
    numbers = re.findall(r"^ *eprint *= *\{(.*?)\}", TEXT, re.MULTILINE)
    assert [n for n in numbers if not re.fullmatch(r"\d{4}\.\d{4,5}", n)] == []
    assert len(numbers) == len(set(numbers))
    assert "arXiv" not in TEXT  # a number in a note is no link
