"""Small type: measures with their subscripts, and numbers below nought."""

from docutils import nodes

from _ext import typography


def test_only_glued_numbers_are_changed():
    paragraph = nodes.paragraph("", "-1 ", nodes.inline("", "-1", classes=["pasted-text"]))
    typography.minuses(None, paragraph, "page")
    assert paragraph.astext() == "-1 −1"


def test_a_measure_keeps_its_subscript():
    link = nodes.reference("", "", nodes.Text("CHAIR"))
    paragraph = nodes.paragraph()
    paragraph += [nodes.Text("Its CHAIR"), nodes.math("_s", "_s"), nodes.Text(" and "), link, nodes.math("_i", "_i")]
    paragraph += [nodes.Text(" and x"), nodes.math("_i", "_i")]
    typography.subscripts(None, paragraph)
    assert paragraph.astext() == "Its CHAIRs and CHAIRi and x_i"
    first, second = (node for node in paragraph.findall(nodes.inline) if "unbroken" in node["classes"])
    assert first.astext() == "CHAIRs"
    assert second[0] is link
    assert len(list(paragraph.findall(nodes.subscript))) == 2
