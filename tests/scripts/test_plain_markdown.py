"""MyST as plain Markdown: what a chapter may hold comes out as JupyterLab reads it, and what is not known is named."""

import pytest

from scripts.plain_markdown import Book, equations, expand, glued, plain


@pytest.fixture
def book(tmp_path):
    (tmp_path / "sets.svg").write_text("<svg><title>Two\n sets.</title></svg>")
    return Book(
        values={"share": 0.256, "n": 84, "a/b c": "A cup.", "e:x": 2},
        titles={"notebooks/04_text": "Text", "book/notation": "Notation"},
        equations={"eq-sum": "6.1"},
        citations={"lin2014": ("Lin et al. (2014)", "Lin et al., 2014"), "wu": ("Wu (2020)", "Wu, 2020")},
        macros={"E": (r"\mathbb{E}", 0), "KL": (r"D\left(#1\,\|\,#2\right)", 2)},
        drawings=tmp_path,
    )


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("With {glue:text}`share:.0%` of {glue:text}`n`", "With 26% of 84"),
        ("“{glue:text}`a/b c`” and `code` and {glue:text}`n`.", "“A cup.” and `code` and 84."),
        ("{glue:text}`n``code`", "84`code`"),
        ("`{glue:text}` is a role, ``{doc}`x` `` too", "`{glue:text}` is a role, ``{doc}`x` `` too"),
        ("{doc}`04_text` and {doc}`that <04_text>`", "[Text](04_text.ipynb) and [that](04_text.ipynb)"),
        ("{doc}`../book/notation`", "Notation (in the book)"),
        ("by {eq}`eq-sum`", "by (6.1)"),
        ("{cite:t}`lin2014` say {cite}`lin2014, wu`", "Lin et al. (2014) say [Lin et al., 2014; Wu, 2020]"),
        ("{term}`reward` and {term}`rewards <reward>`", "reward and rewards"),
        ("{py:obj}`~povid_lib.models.chat`, {py:obj}`torch.nn`", "`chat`, `torch.nn`"),
        ("[`povid_lib.world`](../book/api/world.md) [here](#fig) [there](https://a.example)",
         "`povid_lib.world` here [there](https://a.example)"),
        ("(here)=\n## Head", "## Head"),
        ("{ref}`words <here>`", "words"),
        (r"$\E_x \Exp \KL{a}{b^{2}}$", r"$\mathbb{E}_x \Exp D\left(a\,\|\,b^{2}\right)$"),
        ("$$\nx = 1\n$$ (eq-sum)", "$$\nx = 1 \\tag{6.1}\n$$"),
        ("```python\n{glue:text}`n`\n```", "```python\n{glue:text}`n`\n```"),
        ("```{admonition} Hint\n:class: dropdown\nUse `x`: {glue:text}`n`.\n```",
         "<details><summary>Hint</summary>\n\nUse `x`: 84.\n\n</details>"),
        ('~~~{admonition} Is `a` < *b* {glue:text}`n`?\n:class: dropdown\nYes.\n~~~',
         "<details><summary>Is <code>a</code> &lt; <em>b</em> 84?</summary>\n\nYes.\n\n</details>"),
        ("```{note}\nOne.\n\nTwo.\n```", "> **Note**\n>\n> One.\n>\n> Two."),
        ("````{admonition} Out\n```{note}\nIn.\n```\n````", "> **Out**\n>\n> > **Note**\n> >\n> > In."),
        ("```{exercise} The bar; easy, 10 minutes\n:label: ex-bar\nWrite it.\n```",
         "### Exercise: The bar (easy, 10 minutes)\n\nWrite it."),
        ("```{solution-start} ex-bar\n:class: dropdown\n```\nSo:", "So:"),
        ("```{solution} ex-bar\n:class: dropdown\nIt is 2.\n```", "**Solution**\n\nIt is 2."),
        ("It lies below.\n\n```{solution-end}\n```", "It lies below."),
        ("```{list-table}\n:header-rows: 1\n\n* - A\n  - B | C\n* - {glue:text}`n`\n  - more\n    words\n```",
         "| A | B \\| C |\n| --- | --- |\n| 84 | more words |"),
        ("```{drawing} sets\n:name: fig-sets\n\nThe caption.\n```", "![Two sets.](attachment:sets.svg)\n\n*The caption.*"),
        ("before\n\n```{note}\nx\n```\n\nafter", "before\n\n> **Note**\n>\n> x\n\nafter"),
    ],
)  # fmt: skip
def test_text_comes_out_plain(book, text, wanted):
    assert plain(text, book) == wanted


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("{glue:text}`shar:.0%`", "glued number 'shar'"),
        ("{doc}`05_image`", "page 'notebooks/05_image'"),
        ("{eq}`eq-no`", "equation 'eq-no'"),
        ("{cite}`lin2014,no`", "reference 'no'"),
        ("{download}`x`", "role {download}"),
        ("{ref}`here`", "has no words"),
        ("```{mermaid}\nx\n```", "directive {mermaid}"),
        ("```{note}\nx", "never closed"),
        (r"$\KL{a} b$", "lacks an argument"),
    ],
)
def test_what_is_not_known_is_named(book, text, named):
    with pytest.raises(ValueError, match=named):
        plain(text, book)


def test_equations_are_counted_as_in_the_book():
    texts = ["$$ a $$ (eq-a)\n\n$$ b $$", "$$\nc\n$$ (eq-c)"]
    assert equations(texts, 6) == {"eq-a": "6.1", "eq-c": "6.2"}
    assert equations(texts, 0) == {"eq-a": "1", "eq-c": "2"}


def test_macros_inside_macros():
    assert expand(r"\A", {"A": (r"\B{x}", 0), "B": ("<#1>", 1)}) == "<x>"


def test_what_was_glued_is_read_back():
    mark = {"metadata": {"scrapbook": {"name": "x"}}, "data": {"application/papermill.record/text/plain": "'two'"}}
    assert glued([mark, {"output_type": "stream", "text": "no"}]) == {"x": "two"}
