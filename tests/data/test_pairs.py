"""Pairs on disk: whole lines or none, every fault of every format named, nothing held in memory."""

import json
import tracemalloc
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from povid_lib.data import images
from povid_lib.data.pair_files import append, mend, read, validate, write
from povid_lib.data.pairs import Change, Pair, Provenance, differences, words
from povid_lib.world.scenes import sample_scene
from povid_lib.world.worlds import World
from tests.support.helpers import faults

CAT = Pair("1", "a.jpg", "What is it?", "A black cat.", "A black dog.", (Change("object", "cat", "dog"),))
CAFE = Pair(
    "deux",
    "scene:test/mixed/7",
    "Où ?\n",
    "  Un café,\nà gauche. 猫",
    "Un café,\u2028à droite. 猫",
    (Change("relation", "à gauche", "à droite"), Change("attribute", "", "café")),
    Provenance("some-model", "v1", "2026-03-01T12:00:00Z", 0.002),
    picture_last=True,
)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "pairs.jsonl"


def test_what_is_written_is_read(path):
    assert write(path, iter([CAT])) == 1
    free = replace(CAFE, id="3", chosen="Un thé, à gauche.", provenance=Provenance("truth", "offline-1", "2026-03-01"))
    assert append(path, [CAFE, free]) == 2
    assert list(read(path)) == [CAT, CAFE, free]
    assert path.read_bytes().count(b"\n") == 3
    assert "à gauche. 猫" in path.read_text(encoding="utf-8")
    assert validate(path) == 3
    assert path.read_bytes().decode().startswith('{"id": "1", "image": "a.jpg", "prompt": "What is it?", "chosen": ')


CHARACTERS = st.characters(exclude_categories=["Cs"])
TEXTS = st.text(CHARACTERS, min_size=1, max_size=30).filter(words)  # a soft hyphen alone is no text


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(TEXTS, TEXTS, TEXTS, TEXTS), max_size=4))
def test_any_text_comes_back(tmp_path_factory, rows):
    pairs = [Pair(*row, row[-1] + " not", picture_last=len(row[0]) > 5) for row in rows]
    path = tmp_path_factory.mktemp("any") / "pairs.jsonl"
    append(path, pairs)
    assert list(read(path)) == pairs


def test_the_hash_is_of_what_is_trained_on():
    same = replace(CAT, id="x", changes=(), picture_last=True, provenance=CAFE.provenance)
    assert same.hash == CAT.hash
    # sha256 of '["a.jpg", "What is it?", "A black cat.", "A black dog."]', by coreutils
    assert CAT.hash == "899baf605eb62b6731cb19b9828aa5119ccf177c5fae5433e1c452700003bf40"
    # ... and of '["a.jpg", "Où ?", "Un café.", "Un thé. 猫"]' in UTF-8
    french = Pair("1", "a.jpg", "Où ?", "Un café.", "Un thé. 猫")
    assert french.hash == "7b8eaea45546e337547c154dd53bfbe817e79d40ad62b8690ef1af28d3de51bd"
    for name in ("image", "prompt", "chosen", "rejected"):
        assert replace(CAT, **{name: "other"}).hash != CAT.hash


def test_the_words_of_a_change_stand_in_its_answer_however_they_are_spaced(path):
    words = Change("attribute", "", "No"), Change("object", "Yes", "No")
    spaced = Change("object", "black  cat", "dog\nthere")
    write(
        path,
        [
            replace(CAT, chosen="Yes", rejected="No", changes=words),
            replace(CAT, id="2", chosen="A black\ncat", rejected="A dog  there", changes=(spaced,)),
        ],
    )
    assert validate(path) == 2


def test_differences():
    assert differences("a cat on the mat", "a dog on the mat today") == [("cat", "dog"), ("", "today")]
    long = list(str(2**900))  # few words, each of them often
    assert differences(" ".join(long), " ".join([*long[:100], "x", *long[101:]])) == [(long[100], "x")]


# --- what a kill leaves ------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_file_cut_at_any_byte_loses_the_line_under_way_and_no_other(path):
    write(path, [CAT, CAFE, CAT])
    data = path.read_bytes()
    ends = [at + 1 for at, byte in enumerate(data) if byte == ord("\n")]
    for cut in range(len(data) + 1):
        path.write_bytes(data[:cut])
        whole = sum(end - 1 <= cut for end in ends)  # a record without its line end is whole
        torn = cut not in (0, *ends, *(end - 1 for end in ends))
        if torn:
            with pytest.raises(ValueError, match=rf"line {whole + 1}: torn after .* bytes.*`mend`"):
                list(read(path))
            with pytest.raises(ValueError, match=rf"1 fault\n  line {whole + 1}: torn"):
                validate(path)
        append(path, [CAFE])
        assert list(read(path)) == [*[CAT, CAFE, CAT][:whole], CAFE]


def test_mend_gives_back_what_it_takes(path):
    write(path, [CAT])
    whole = path.read_bytes()
    path.write_bytes(whole + whole[:50])
    assert mend(path) == whole[:50]
    assert path.read_bytes() == whole
    path.write_bytes(whole[:-1])
    assert mend(path) == b""
    assert path.read_bytes() == whole


def test_a_long_torn_line_is_taken_off_whole(path):
    write(path, [CAT, replace(CAT, chosen="word " * 50_000)])
    path.write_bytes(path.read_bytes()[:-9])
    assert len(mend(path)) > 200_000
    assert list(read(path)) == [CAT]


def test_a_last_line_that_others_wrote_or_edited_is_a_pair_all_the_same(path):
    row = {"id": "9", "image": "b.jpg", "prompt": "?", "chosen": "Yes.", "rejected": "No.", "note": "by hand"}
    compact = json.dumps(row | {"more": "x" * 70_000}, separators=(",", ":")).encode()
    for end in (b"", b"\n", b"\n\n \n"):
        path.write_bytes(compact + end)
        append(path, [CAT])
        assert path.read_bytes().startswith(compact + (end or b"\n") + b'{"id": "1", ')


def test_what_ends_a_run_leaves_the_pairs_before_it_and_no_empty_file(path):
    def source(*pairs):
        yield from pairs
        raise RuntimeError("the server is gone")

    with pytest.raises(RuntimeError, match="the server is gone"):
        write(path, source())
    assert not path.exists()
    with pytest.raises(ValueError, match="is no Pair"):
        append(path, [CAT, CAFE, "A cat."])
    assert list(read(path)) == [CAT, CAFE]
    with pytest.raises(ValueError, match="is no Pair"):
        write(path.with_name("new.jsonl"), [CAT, CAFE, "A cat."])
    assert list(path.parent.iterdir()) == [path]  # a new file is whole or not there
    assert append(path, []) == 0
    assert write(path.with_name("none.jsonl"), []) == 0
    assert list(read(path.with_name("none.jsonl"))) == []


def test_each_pair_is_on_disk_before_the_next_is_asked_for(path):
    def pairs():
        for i in range(5):
            assert (path.read_bytes().count(b"\n") if path.exists() else 0) == i
            yield replace(CAT, id=str(i))
        raise RuntimeError("the server is gone")

    with pytest.raises(RuntimeError, match="the server is gone"):
        append(path, pairs())
    assert [pair.id for pair in read(path)] == list("01234")


@pytest.mark.slow
def test_memory_is_flat_in_the_number_of_pairs(path):
    def peak(n):
        path.unlink(missing_ok=True)
        tracemalloc.start()
        append(path, (replace(CAT, id=str(i), chosen="word " * 200) for i in range(n)))
        append(path, [CAT])  # looks at the end of what is there
        assert sum(1 for _ in read(path)) == n + 1
        top = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return top

    peak(10)  # what is loaded once
    assert peak(3000) < peak(300) + 100_000  # the pairs themselves are 3 MB


# --- pictures ----------------------------------------------------------------------------------------------------


def test_a_picture_is_a_scene_or_a_file(tmp_path):
    want = sample_scene(7, World("mixed"), "test")
    assert images.scene(CAFE.image) == want
    assert images.picture(CAFE.image).tobytes() == want.image().tobytes()
    Image.new("L", (3, 2), 9).save(tmp_path / "grey.png")
    got = images.picture("./grey.png", tmp_path)
    assert (got.mode, got.size, got.getpixel((0, 0))) == ("RGB", (3, 2), (9, 9, 9))


ALIKE = [
    ("Un café.", "Un cafe\u0301."),  # one letter, or a letter and its accent
    ("A dog.", "A\u200b dog."), ("A dog.", "\ufeffA dog.\u2060"), ("A dog.", "A d\u00adog."), ("가", "\u1100\u1161"),
    ("A dog.", "A\u00a0dog."),
]  # fmt: skip


@pytest.mark.parametrize(("chosen", "rejected"), ALIKE)
def test_answers_that_look_the_same_are_no_pair(chosen, rejected):
    with pytest.raises(ValueError, match="chosen and rejected are the same"):
        replace(CAT, chosen=chosen, rejected=rejected)


@pytest.mark.parametrize("text", ["\u200b", " \ufeff\n", "\u00ad", "\u200e\u2060"])
@pytest.mark.parametrize("field", ["id", "image", "prompt", "chosen", "rejected"])
def test_a_text_that_leaves_no_mark_is_empty(field, text):
    with pytest.raises(ValueError, match=f"{field} is "):
        replace(CAT, **{field: text})


def test_letters_that_look_different_are_a_pair():
    for chosen, rejected in (("A café.", "A cafe."), ("①", "1"), ("ﬁve", "five"), ("Dog", "dog")):
        assert replace(CAT, chosen=chosen, rejected=rejected, changes=()).chosen == chosen


# --- faults ------------------------------------------------------------------------------------------------------


def test_every_fault_of_a_file_is_named_at_once(path, tmp_path):
    Image.new("RGB", (4, 4)).save(tmp_path / "a.jpg")
    Image.effect_noise((64, 64), 50).save(tmp_path / "cut.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "cut.png").read_bytes()[:900])
    (tmp_path / "page.jpg").write_text("<html>404</html>")
    names = ["a.jpg", "cut.png", "page.jpg", "lost.jpg", "w" * 300, "scene:train/typical/0", "scene:train/typical/x"]
    pairs = [replace(CAT, id=str(i), image=name) for i, name in enumerate(names)]
    write(path, [*pairs, CAT])
    with path.open("a") as file:
        file.write('{"id": "8"}\nnull\n{')
    got = faults(validate, path, tmp_path)
    assert [fault.split(":")[0] for fault in got] == [
        *("line 2", "line 3", "line 4", "line 5", "line 7"),  # pictures
        *("line 8",) * 2,  # id and content
        *("line 9",) * 8,  # every other field
        *("line 10", "line 11"),
    ]
    for fault, want in zip(
        got, ("cannot be read", "cannot be read", "is not in", "is not in", "no scene"), strict=False
    ):
        assert want in fault
    assert "id 1 already stands in line 2" in got[5]
