"""Pairs on disk: whole lines or none, every fault of every format named, nothing held in memory."""

import json
import tracemalloc
from dataclasses import replace

import pytest
from datasets import Dataset
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from povid_lib import pictures
from povid_lib.audit import audit, text_shortcut, with_image
from povid_lib.preference_files import from_trl, read_povid, to_trl
from povid_lib.preferences import Change, Pair, Provenance, append, differences, mend, read, validate, write
from povid_lib.scenes import World, sample_scene
from povid_lib.truths import read_coco_captions, read_llava
from tests.library.helpers import faults

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
    assert append(path, [CAFE]) == 1
    assert list(read(path)) == [CAT, CAFE]
    assert path.read_bytes().count(b"\n") == 2
    assert validate(path) == 2
    assert path.read_bytes().decode().startswith('{"id": "1", "image": "a.jpg", "prompt": "What is it?", "chosen": ')
    with pytest.raises(FileExistsError, match="append to it"):
        write(path, [CAT])


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30).filter(str.strip)


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
    for name in ("image", "prompt", "chosen", "rejected"):
        assert replace(CAT, **{name: "other"}).hash != CAT.hash


def test_differences():
    assert differences("a cat on the mat", "a dog on the mat today") == [("cat", "dog"), ("", "today")]


# --- what a kill leaves ------------------------------------------------------------------------------------------


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


def test_a_file_that_is_none_of_ours_is_left_alone(path):
    for foreign in (b"a note", b'[\n {"id": 1}\n]', b'{"id": 1}\nA diary entry'):
        path.write_bytes(foreign)
        with pytest.raises(ValueError, match="is this a file of pairs"):
            append(path, [CAT])
        assert path.read_bytes() == foreign


def test_each_pair_is_on_disk_before_the_next_is_asked_for(path):
    def pairs():
        for i in range(5):
            assert (path.read_bytes().count(b"\n") if path.exists() else 0) == i
            yield replace(CAT, id=str(i))
        raise RuntimeError("the server is gone")

    with pytest.raises(RuntimeError, match="the server is gone"):
        append(path, pairs())
    assert [pair.id for pair in read(path)] == list("01234")


def test_memory_is_flat_in_the_number_of_pairs(path):
    def peak(n):
        path.unlink(missing_ok=True)
        tracemalloc.start()
        append(path, (replace(CAT, id=str(i), chosen="word " * 200) for i in range(n)))
        assert sum(1 for _ in read(path)) == n
        top = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return top

    peak(10)  # what is loaded once
    assert peak(3000) < peak(300) + 100_000  # the pairs themselves are 3 MB


# --- pictures ----------------------------------------------------------------------------------------------------


def test_a_picture_is_a_scene_or_a_file(tmp_path):
    want = sample_scene(7, World("mixed"), "test")
    assert pictures.scene(CAFE.image) == want
    assert pictures.picture(CAFE.image).tobytes() == want.image().tobytes()
    Image.new("L", (3, 2), 9).save(tmp_path / "grey.png")
    got = pictures.picture("./grey.png", tmp_path)
    assert (got.mode, got.size, got.getpixel((0, 0))) == ("RGB", (3, 2), (9, 9, 9))


# --- faults ------------------------------------------------------------------------------------------------------

ROW = {
    "id": "1", "image": "a.jpg", "prompt": "What is it?", "chosen": "A black cat.", "rejected": "A black dog.",
    "changes": [], "provenance": None, "picture_last": False, "hash": CAT.hash,
}  # fmt: skip
MADE = {"model": "m", "prompt": "v1", "time": "2026-03-01", "cost": 0.0}


def line(without="", **changes):
    """A sound line, one field left out or some changed."""
    return json.dumps({name: value for name, value in (ROW | changes).items() if name != without})


def turns(question="<image>\nWhat?", answer="A cat.", more=()):
    return [{"from": "human", "value": question}, {"from": "gpt", "value": answer}, *more]


def povid(*rows, **changes):
    row = {"id": "1", "image": "a.jpg", "conversations": turns(), "rejected_conversations": turns(answer="A dog.")}
    return json.dumps([row | other for other in rows or [changes]])


def llava(**changes):
    return json.dumps([{"id": 1, "image": "a.jpg", "conversations": turns()} | changes])


def coco(image=None, **changes):
    return json.dumps(
        {
            "images": [{"id": 5, "file_name": "a.jpg"} if image is None else image],
            "annotations": [{"id": 1, "image_id": 5, "caption": "A cat."} | changes],
        }
    )


def captions(path):
    return read_coco_captions(path, "Describe this image briefly.")


WANTS_TEXT = "; it must be {}, as text".format
SCENES = "splits train, validation, test; kinds typical, counter_typical, mixed; indices from 0"


@pytest.mark.parametrize(
    ("reader", "content", "complaints"),
    [
        # our own lines
        (validate, "", ["the file holds nothing"]),
        (validate, "{no\n", ["line 1: no JSON (Expecting property name enclosed in double quotes at column 2)"]),
        (validate, line().encode() + b"\n\xff\n", ["line 2: byte 1 (0xff) is not UTF-8; save the file as UTF-8"]),
        (validate, line() + "\n" + line()[:30], ["line 2: torn after 30 bytes by what ended its writing; `mend` takes it off"]),
        (validate, f"[{line()}]", ["line 1: [{'changes': [], 'chosen': 'A black cat.', 'hash': '899baf605eb6...452700003bf40', "
                                   "'id': '1', ...}] is no object; each line holds one pair"]),
        (validate, line("prompt"), ["line 1: no prompt; give the question, as text"]),
        (validate, line("changes"), ["line 1: no changes; give a list, empty where the source does not tell them"]),
        (validate, line("provenance"),
         ["line 1: no provenance; give null, or an object with the texts model, prompt and time and the number cost"]),
        (validate, line("hash"), ["line 1: no hash; give the one that `append` has written"]),
        (validate, line(id=" "), [f"line 1: id is ' '{WANTS_TEXT('a name of its own')}"]),
        (validate, line(chosen=3), [f"line 1: chosen is 3{WANTS_TEXT('the true answer')}"]),
        (validate, line(rejected=None), [f"line 1: rejected is None{WANTS_TEXT('the corrupted answer')}"]),
        (validate, line(rejected="A  black\ncat."),
         ["line 1: chosen and rejected are the same; a preference needs two answers"]),
        (validate, line(prompt="<image>\nWhat?"),
         ["line 1: prompt holds <image>; take it out: the picture is put in where the pair is used"]),
        (validate, line(chosen="A \ud83d cat"),
         ["line 1: chosen holds half a character ('A \\ud83d cat'), which UTF-8 cannot write; take it out"]),
        (validate, line(picture_last="no"), ["line 1: picture_last is 'no'; it must be true or false"]),
        (validate, line(note="x"), ["line 1: unknown field 'note'; take it out"]),
        (validate, line(changes={}), ["line 1: changes is {}; it must be a list, empty where the source does not tell them"]),
        (validate, line(changes=[{"kind": "object", "chosen": "cat"}]),
         ["line 1: change 1 is {'chosen': 'cat', 'kind': 'object'}; it must have the texts kind, chosen and rejected, no more"]),
        (validate, line(changes=[{"kind": "colour", "chosen": "cat", "rejected": "dog"}]),
         ["line 1: change 1: Change.kind is 'colour'; choose one of object, relation, attribute, step, result."]),
        (validate, line(changes=[{"kind": "object", "chosen": "black", "rejected": "black"}]),
         ["line 1: change 1: Change: 'black' stands on both sides, so nothing changes."]),
        (validate, line(changes=[{"kind": "object", "chosen": "dog", "rejected": "lack"}]),
         ["line 1: change 1: 'dog' does not stand in chosen; give the words that do",
          "line 1: change 1: 'lack' does not stand in rejected; give the words that do"]),
        *(
            (validate, line(provenance=MADE | {"cost": cost}),
             [f"line 1: provenance is {{'cost': {cost}, 'model': 'm', 'prompt': 'v1', 'time': '2026-03-01'}}; it must be null, "
              "or an object with the texts model, prompt and time and the number cost"])
            for cost in (-1, True, float("inf"))
        ),
        (validate, line(prompt="Really?"),
         [f"line 1: hash is '899baf605eb6...452700003bf40', but that of the texts is {replace(CAT, prompt='Really?').hash}: "
          "one was edited; write the pair anew"]),
        (validate, line() + "\n\n" + line(),
         ["line 3: id 1 already stands in line 1", f"line 3: content {CAT.hash[:16]} already stands in line 1"]),
        *(
            (validate, line(image=image, hash=replace(CAT, image=image).hash),
             [f"line 1: image {image!r} leaves the pictures' folder; name it relative to that folder, without '..'"])
            for image in ("../a.jpg", "b/../../a.jpg", "/etc/a.jpg", r"..\a.jpg", r"C:\a.jpg")
        ),
        *(
            (validate, line(image=image, hash=replace(CAT, image=image).hash),
             [f"line 1: image {image!r} names no scene; write scene:split/kind/index ({SCENES})"])
            for image in ("scene:", "scene:test/typical/-1", "scene:dev/mixed/1", "scene:test/odd/1", "scene:test/mixed/01")
        ),
        (lambda path: list(read(path)), line() + "\n" + line("id", chosen="") + "\n" + line("hash"),
         ["line 2: no id; give a name of its own, as text", f"line 2: chosen is ''{WANTS_TEXT('the true answer')}"]),
        # POVID's JSON
        (read_povid, "[]", ["the file holds nothing"]),
        (read_povid, "[3]", ["line 1, entry 1: 3 is no object; a row is one"]),
        (read_povid, povid(id=7), ["line 1, entry 1: id is 7; it must be text"]),
        (read_povid, povid(type="detail"), ["line 1, entry 1: field 'type' has no place in a pair; take it out"]),
        (read_povid, povid(conversations=turns(more=turns("And?")), rejected_conversations=turns(more=turns("And?", "No."))),
         [f"line 1, entry 1: {name} has 4 turns; a pair holds one question and one answer, so split the rounds"
          for name in ("conversations", "rejected_conversations")]),
        (read_povid, povid(conversations=turns()[::-1]),
         ["line 1, entry 1: conversations: turn 1 is {'from': 'gpt', 'value': 'A cat.'}; "
          "it must be from human with a text as value",
          "line 1, entry 1: conversations: turn 2 is {'from': 'human', 'value': '<image>\\nWhat?'}; "
          "it must be from gpt with a text as value"]),
        (read_povid, povid(conversations=turns()[:1]),
         ["line 1, entry 1: conversations: [{'from': 'human', 'value': '<image>\\nWhat?'}] is no list of rounds; "
          "each is a question from human and an answer from gpt"]),
        (read_povid, povid(conversations=[turns()[0], {"from": "gpt", "value": "A cat.", "score": 1}]),
         ["line 1, entry 1: conversations, turn 2: field 'score' has no place in a pair; take it out"]),
        (read_povid, povid(rejected_conversations=turns("<image>\nWho?")),
         ["line 1, entry 1: the questions differ: '<image>\\nWhat?' and '<image>\\nWho?'; a pair has one question"]),
        *(
            (read_povid, povid(conversations=turns(question), rejected_conversations=turns(question, "No.")),
             [f"line 1, entry 1: the question is {question!r}; <image> must stand once, on a line of its own before or after it"])
            for question in ("What?", "What <image>?", "<image>", "<image>\n<image>")
        ),
        (read_povid, povid(rejected_conversations=turns()),
         ["line 1, entry 1: chosen and rejected are the same; a preference needs two answers"]),
        (read_povid, povid({}, {"id": "1#2"}),
         ["line 1, entry 2: id '1#2' would be taken for a later row of '1'; rename it"]),
        (read_povid, povid({"id": "1#2"}, {}, {}), ["line 1, entry 3: id 1#2 already stands in line 1, entry 1"]),
        # LLaVA-Instruct
        (read_llava, llava(id=None), ["line 1, entry 1: no id"]),
        (read_llava, llava(image=["a.jpg", "b.jpg"]),
         ["line 1, entry 1: image is ['a.jpg', 'b.jpg']; it must be the picture's file name"]),
        (read_llava, llava(conversations=[]),
         ["line 1, entry 1: conversations: [] is no list of rounds; each is a question from human and an answer from gpt"]),
        (read_llava, llava(conversations=turns("What?")),
         ["line 1, entry 1: turn 1 is 'What?'; <image> must stand once in the first turn, in no other"]),
        (read_llava, llava(conversations=turns("<image>", " ")),
         ["line 1, entry 1: turn 1 is '<image>'; give the question", "line 1, entry 1: turn 2 is ' '; give the answer"]),
        # COCO
        (captions, coco(image_id=6), ["annotation 1: image 6 is not in the table `images`"]),
        (captions, coco(caption=" "), ["annotation 1: caption is ' '; give the caption's text"]),
        (captions, coco({"id": 5}), ["`images`, row 1: no file_name"]),
        (captions, coco({"id": 5, "file_name": 3}), ["annotation 1: file_name of image 5 is 3; give the picture's file"]),
        # TRL
        (to_trl, line("prompt"), ["line 1: no prompt; give the question, as text"]),
        (to_trl, "\n", ["the file holds nothing"]),
        (to_trl, line(), ["pair 1: image 'a.jpg' is a file; say in which folder (images=...); `validate` names every such pair"]),
    ],
)  # fmt: skip
def test_bad_files(tmp_path, reader, content, complaints):
    path = tmp_path / "file"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    assert faults(reader, path) == complaints


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
    with pytest.raises(ValueError, match=r"is no folder; name the one that holds the pictures"):
        validate(path, tmp_path / "lost")


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (lambda: Change("colour", "a", "b"), "Change.kind is 'colour'; choose one of object, relation"),
        (lambda: Change("object", "a", "a"), "'a' stands on both sides"),
        (lambda: replace(CAT, id=7), "Pair 7: id is 7; it must be a name of its own"),
        (
            lambda: replace(CAT, chosen="", prompt=" "),
            "Pair '1': prompt is ' '; .* chosen is ''; it must be the true answer",
        ),
        (lambda: replace(CAT, rejected="A black  cat."), "Pair '1': chosen and rejected are the same"),
        (lambda: pictures.scene("a.jpg"), "image 'a.jpg' names no scene; write scene:split/kind/index"),
        (lambda: pictures.picture("a.jpg"), "image 'a.jpg' is a file; say in which folder"),
        (lambda: pictures.picture("../a.jpg", "."), "leaves the pictures' folder"),
        (lambda: read_coco_captions("x.json", " "), "prompt is empty; give the question"),
        (lambda: to_trl("x.jsonl", "nowhere"), "images='nowhere' is no folder"),
        (
            lambda: from_trl(Dataset.from_dict({"prompt": ["a"]})),
            "The dataset lacks images, chosen, rejected, id, changes",
        ),
        (lambda: audit([]), "audit: no pairs"),
        (lambda: audit([CAT], "nowhere"), "images='nowhere' is no folder"),
        (lambda: text_shortcut([]), "text_shortcut: no pairs"),
        (
            lambda: text_shortcut([CAT, CAT]),
            "text_shortcut: all pairs are about 'a.jpg'; pairs of at least two pictures",
        ),
        (
            lambda: with_image([CAT, CAFE], {"a.jpg": ["cat"]}, str.split),
            "`present` lacks 1 pictures, the first is 'scene:test",
        ),
    ],
)
def test_bad_arguments(make, complaint):
    with pytest.raises(ValueError, match=complaint):
        make()
