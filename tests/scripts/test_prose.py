"""The prose linter: every rule finds its fault, also inside a directive, and nothing in code, formulas or names."""

import nbformat
import pytest

from scripts import prose

SHORT = "This sentence is short and plain. " * 9


@pytest.fixture
def page(tmp_path, monkeypatch):
    """``page(markdown)`` or ``page(cells)`` reads a page as the linter does."""
    monkeypatch.setattr(prose, "ROOT", tmp_path)
    (tmp_path / "typos.toml").write_text('[type.md]\nlocale = "en-gb"\n')

    def read(source):
        if isinstance(source, str):
            path = tmp_path / "page.md"
            path.write_text(source, encoding="utf-8")
        else:
            path = tmp_path / "page.ipynb"
            nbformat.write(nbformat.v4.new_notebook(cells=source), path)
        return prose.read(path)

    return read


def figure(alt="Bars that fall from left to right.", source="draw()", **options):
    shown = {"image": {"alt": alt}} | ({"figure": options} if options else {})
    return nbformat.v4.new_code_cell(source, metadata={"mystnb": shown})


def test_plain_prose_has_no_fault(page):
    text = (
        "# A page\n\n"
        + SHORT
        + "\n\nIt has {glue:text}`a/value:.2f` [{glue:text}`a/low`, {glue:text}`a/high`] of LLaVA-1.5-7B."
    )
    assert prose.faults(page(text)) == []


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("The cure costs recall.", "'cure'"),
        ("Its habits foretell it.", "'foretell'"),
        ("The answer stands in the table.", "'stands'"),
        ("Labels were dealt out anew.", "'dealt out anew'"),
        ("What usually comes along is named.", "'comes along'"),
        ("## Whoever says less", "'Whoever'"),
        ("| a |\n|---|\n| the cure |", "'cure'"),
        ("It is **.52** here.", "bold number '.52'"),
        ("It is **{glue:text}`a`** here.", "bold number '0'"),
        ("With 3, 4%, .5 and 1,000 things.", "4 numbers in a paragraph"),
        ("- With 3, 4%, {glue:text}`a` and {glue:text}`b` things.", "4 numbers in a paragraph"),
        ("The color of it.", "spelling: error: `color`"),
        ("word " * 31 + ".", "1 of 1 sentences have more than 30 words"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("wrap", ["{}", "```{{admonition}} A title\n:class: note\n{}\n```"])
def test_a_fault_is_found_in_the_open_and_in_a_directive(page, text, fault, wrap):
    found = prose.faults(page(wrap.format(text)))
    assert any(fault in line for line in found), found


@pytest.mark.parametrize(
    "text",
    [
        "It understands what stands for what, and the outstanding rest.",
        "`cure` and `dealt` are names.",
        "```python\ncure = 3, 4, 5, 6\n```",
        "See chapters 01 to 03, figure 4, steps 1, 2 and 3, and 2024.",
        "GPT-4, LLaVA-1.5-7B, val2014, 3x3, v2 and k3 are names.",
        "$1 + 2 + 3 + 4$ and `5 6 7 8`",
        "$$\n1 + 2 + 3 + 4\n$$",
        "| 1 | 2 | 3 | 4 |\n|---|---|---|---|\n| **5** | 6 | 7 | 8 |",
    ],
)
def test_names_code_formulas_and_tables_are_none(page, text):
    assert prose.faults(page(text)) == []


def test_one_sentence_in_ten_may_be_long(page):
    long = "word " * 31 + "end."
    assert prose.faults(page(SHORT + long)) == []
    assert prose.faults(page(SHORT + long + " " + long))[0].startswith("2 of 11 sentences")


def test_a_name_in_the_middle_ends_no_sentence(page):
    assert len(page("One, e.g. Two, and Fig. 3 by Zhou et al. In all. Two.").sentences) <= 3
    assert len(page("One ends. `code` begins. $x$ begins too.").sentences) == 3


def test_a_figure_has_a_caption_and_its_words_are_prose(page):
    bare, captioned = figure("Bars that rise."), figure(caption="What the cure does.")
    found = prose.faults(page([bare, captioned]))
    assert found == [
        "'cure' (...What the cure does....): " + prose.RULES["instead"]["cur(?:e|es|ed|ing)"],
        "a figure without a caption: Bars that rise.",
    ]


def test_a_figure_that_is_glued_has_its_caption_where_it_is_shown(page):
    shown = nbformat.v4.new_markdown_cell("```{glue:figure} cold-open\n:name: fig-a\n\nWhat it says.\n```")
    assert prose.faults(page([figure(source='glue("cold-open", drawn, display=False)'), shown])) == []
    assert len(prose.faults(page([figure(source="drawn"), shown]))) == 1


def test_no_measured_number_in_an_alternative_text(page):
    found = prose.faults(page([figure("It falls from .78 to 0.5.", caption="What falls.")]))
    assert found == ["measured numbers in an alternative text, where no build puts them: .78, 0.5"]


def test_a_fault_on_a_held_page_fails_and_the_others_are_only_counted(page, monkeypatch, capsys, tmp_path):
    for name, text in (("held", "The cure."), ("free", "The habit.")):
        (tmp_path / f"{name}.md").write_text(text)
    monkeypatch.setitem(prose.RULES, "held", ["held.md"])
    monkeypatch.setattr("sys.argv", ["prose.py"])
    assert prose.main() == 1
    assert "habit" not in capsys.readouterr().out
    (tmp_path / "held.md").write_text("Nothing.")
    assert prose.main() == 0
    monkeypatch.setattr("sys.argv", ["prose.py", str(tmp_path / "free.md")])
    assert prose.main() == 1


def test_typos_that_cannot_run_is_an_error(page, tmp_path):
    read = page("A page.")
    (tmp_path / "typos.toml").write_text("no toml at all [")
    with pytest.raises(RuntimeError, match="typos stopped"):
        prose.faults(read)


def test_every_held_page_is_there():
    assert all((prose.ROOT / name).is_file() for name in prose.RULES["held"])
