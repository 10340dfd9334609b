"""What the preference modules say of bad input: the thing, the fault and the remedy; and nothing is written, and nothing sent.

A case names a public operation, what is bad, the call, and the three parts of the message,
    in their order: "thing | fault | remedy".
Its files are laid out before the call, and must be as they were after it. Faults in company are in ``test_preferences``; why an
answer of a rewriter's model is no use, in ``test_rewriter_prompts``.
"""

import inspect
import json
import socket
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, replace
from functools import cache, partial
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from datasets import Dataset
from PIL import Image

from povid_lib import arguments as arguments_module
from povid_lib import models
from povid_lib.analysis import attention, next_word, occlusion, token_changes
from povid_lib.data import audit, corrupt_image, corrupt_text, others, pair_files, povid_json, trl_dataset, true_answers
from povid_lib.data import images as images_module
from povid_lib.data import pairs as pairs_module
from povid_lib.data import parquet as parquet_module
from povid_lib.data.pairs import Change, Pair, Provenance
from povid_lib.data.rewrite import batch, outcomes, prompts, request, rewriter
from povid_lib.data.rewrite import config as rewriter_config
from povid_lib.data.true_answers import Truth
from povid_lib.files.settings import SettingsError
from povid_lib.remote import client, ledger, server
from povid_lib.training import dispreference
from povid_lib.world.scenes import sample_scene
from tests.support.rewriting import CONFIG, REASONED, SECRET

MODULES = (
    arguments_module,
    pairs_module, pair_files, povid_json, trl_dataset, others, parquet_module, true_answers, images_module, audit, corrupt_text, corrupt_image,
    dispreference, next_word, token_changes,
    rewriter, rewriter_config, request, prompts, outcomes, ledger, server, client, batch, attention, occlusion,
)  # fmt: skip
# public, and without input that they could refuse: why, and which
TOTAL = {
    "records of what was found": "Audit Dilemma DryRun Opened Request Ledger NextWords Reading Row Sorted Window",
    "take any text, number, row, scene or data set": "is_ours prepare_rows name_of reasoned request_of settled differences word_distance numbered kinds_for dollars hash_of words contents",
    "take nothing, or records that were checked when they were made": "betas alpha_bars pair_of about dilemmas is_left "
    "most_dollars new_event outcome reject append_reject eager shares",
    "give the faults back": "fault turn_faults verify text_faults text_fault word_faults half_character",
    "is checked with its picture, by `prepare`": "Truth",
    "says what the system says of a file that is not there": "file_digest",
}


class Case(NamedTuple):
    operation: Callable[..., Any]
    what: str
    call: Callable[[Callable[..., Any], Path], object]  # of the operation, in a folder of the case's own
    said: str
    files: Mapping[str, str | bytes] = {}
    error: type[Exception] = ValueError

    @property
    def id(self) -> str:
        return f"{self.operation.__module__.removeprefix('povid_lib.')}.{self.operation.__name__}: {self.what}"


def given(operation, what, arguments, said, **named) -> Case:
    """A call with plain arguments."""
    return Case(operation, what, lambda f, here: f(*arguments, **named), said)


def within(operation, what, call, said, error=ValueError, **files) -> Case:
    """A call in the case's folder, which holds ``files``, and the pictures in ``images``."""
    return Case(operation, what, call, said, files, error)


def of(operation, where, what, content, said, count=1, **named) -> Case:
    """A call with a file of that content, in which so many faults are to be found, the first one ``where`` or as ``said`` says."""
    begins = "" if said.startswith(("line", "the ")) else where
    counted = f"file: {count} fault{'s' * (count > 1)}\n  {begins}{said}"
    return Case(operation, what, lambda f, here: f(here / "file", **named), counted, {"file": content})


# --- what is sound, with one thing changed -----------------------------------------------------------------------

CAT = Pair("1", "a.jpg", "What is it?", "A black cat.", "A black dog.", (Change("object", "cat", "dog"),))
OTHER = replace(CAT, id="2", image="scene:test/mixed/7")
ROW = {
    "id": "1", "image": "a.jpg", "prompt": "What is it?", "chosen": "A black cat.", "rejected": "A black dog.",
    "changes": [], "provenance": None, "picture_last": False, "hash": CAT.hash,
}  # fmt: skip
MADE = {"model": "m", "prompt": "v1", "time": "2026-03-01", "cost": 0.0}
TRUTH = Truth("1", "a.jpg", "What is it?", "A black cat.")
NAN, INF = float("nan"), float("inf")


def line(without="", **changes):
    return json.dumps({name: value for name, value in (ROW | changes).items() if name != without})


def pictured(image):
    """A line of our own about another picture."""
    return line(image=image, hash=replace(CAT, image=image).hash)


def change(kind="object", chosen="cat", rejected="dog"):
    return [{"kind": kind, "chosen": chosen, "rejected": rejected}]


def turns(question="<image>\nWhat?", answer="A cat.", more=()):
    return [{"from": "human", "value": question}, {"from": "gpt", "value": answer}, *more]


def povid(*rows, **changes):
    row = {"id": "1", "image": "a.jpg", "conversations": turns(), "rejected_conversations": turns(answer="A dog.")}
    return json.dumps([row | other for other in rows or [changes]])


def asked(question):
    return povid(conversations=turns(question), rejected_conversations=turns(question, "No."))


def llava(**changes):
    return json.dumps([{"id": 1, "image": "a.jpg", "conversations": turns()} | changes])


def coco(image=None, **changes):
    images = [{"id": 5, "file_name": "a.jpg"} if image is None else image]
    return json.dumps({"images": images, "annotations": [{"id": 1, "image_id": 5, "caption": "A cat."} | changes]})


def columns(**changes):
    """What ``to_trl`` makes of a pair."""
    roles = {"prompt": "user", "chosen": "assistant", "rejected": "assistant"}
    said = {name: [{"role": role, "content": ROW[name]}] for name, role in roles.items()}
    return Dataset.from_list([asdict(CAT) | {"images": ["a.jpg"]} | said | changes])


def reply(**choice):
    return json.dumps({"choices": [{"message": {"content": "{}"}} | choice]})


PICTURE, EMPTY = Image.new("RGB", (12, 10)), Image.new("RGB", (0, 3))
LOGITS, LABELS = torch.zeros(1, 2, 3), torch.zeros(1, 2, dtype=torch.int64)
BLIND = {"input_ids": torch.zeros(1, 4), "attention_mask": torch.ones(1, 4)}
EYED = SimpleNamespace(model=SimpleNamespace(config=SimpleNamespace(image_token_id=9)))
KEY = "0" * 64
DEEP = "[" * 100_000
Dataset.from_dict({"id": ["a"]}).to_parquet(parquet := BytesIO())
PARQUET = parquet.getvalue()


def parquet_of(dataset):
    dataset.to_parquet(held := BytesIO())
    return held.getvalue()


# --- calls -------------------------------------------------------------------------------------------------------


def at_file(f, here):
    return f(here / "file")


def at_folder(f, here):
    return f(here / "images")


def at_both(f, here):
    return f(here / "file", here / "images")


def entered(f, here, name="file"):
    with f(here / name):
        pass


def entered_twice(f, here):
    with f(here / "file"):
        entered(f, here)


def writing(*pairs, name="file"):
    return lambda f, here: f(here / name, pairs)


def asking(rows=(TRUTH,), images="images", names=("journal", "rejects"), **how):
    return lambda f, here: f(CONFIG, rows, here / images, *(here / name for name in names), **how)


def taking(f, here):
    return f(CONFIG, here / "file", here / "journal")


def changed_picture(f, here):
    (row,) = request.prepare(CONFIG, [TRUTH], here / "images")
    return f(CONFIG, replace(row, key=KEY))


def setting(what, said, **changes):
    return given(rewriter_config.RewriterConfig, what, (), said, **(vars(CONFIG) | changes))


def of_cat(what, said, **changes):
    return given(Pair, what, (), said, **(vars(CAT) | changes))


def prepared(what, rows, said):
    config = replace(CONFIG, kinds=("object",))
    return within(request.prepare, what, lambda f, here: f(config, rows, here / "images"), said)


def picture_of(image, said):
    return prepared(f"image {image[:20]}", [replace(TRUTH, image=image)], f"row 1 ('1') | {said}")


ours, povids = partial(of, pair_files.validate, "line 1: "), partial(of, povid_json.read_povid, "line 1, entry 1: ")
llavas = partial(of, true_answers.read_llava, "line 1, entry 1: ")
cocos = partial(of, true_answers.read_coco_captions, "annotation 1: ", prompt="Describe it.")
to_trl = partial(of, trl_dataset.to_trl, "line 1: ")
choices = partial(given, dispreference.ImageDispreference)
dispreferred_tokens = partial(given, dispreference.dispreferred_tokens)

NOT_THERE = "file | is not there | give the name of a file that is"
FOLDER = "images | is a folder | give the name of a file in it"
NO_FOLDER = "file cannot be written | no is no folder | make it first"
NO_SCENE = "names no scene | write scene:split/kind/index (splits train, validation, test; kinds typical, counter_typical, mixed"
LEAVES = "leaves the pictures' folder | name it relative to that folder, without '..'"
NOTES = "the last line, | is no event and not the beginning of one | give a file of events"

# --- the table ---------------------------------------------------------------------------------------------------

CASES = [
    # preferences: the records
    given(Change, "unknown kind", ("colour", "a", "b"), "Change.kind | is 'colour' | choose one of object, relation"),
    given(Change, "nothing changes", ("object", "a", "a"), "Change | 'a' stands on both sides | leave it out"),
    given(Change, "words no text", ("object", "a", 3), "Change.rejected | is 3 | must be text"),
    given(Change, "half a character", ("object", "\ud83d", ""), "Change.chosen | holds half a character | take it out"),
    given(Provenance, "model no text", (None, "v1", ""), "Provenance.model | is None | must be text"),
    given(Provenance, "half a character", ("m", "v1", "\udc00"), "Provenance.time | half a character | take it out"),
    *(given(Provenance, f"cost {cost!r}", ("m", "v1", "", cost), f"Provenance.cost | is {cost!r} | give US dollars, 0 or more")
      for cost in (-1, NAN, INF, True, "1")),
    given(Provenance, "cost too large", ("m", "v1", "", 10**400), "Provenance.cost | is 1000 | give US dollars, 0 or more"),
    of_cat("id a number", "Pair 7: id | is 7 | must be a name of its own", id=7),
    of_cat("no image", "Pair '1': image | is '' | must be the picture's file name", image=""),
    of_cat("two at once", "prompt is ' ' | chosen is '' | must be the true answer", prompt=" ", chosen=""),
    of_cat("same answers", "chosen and rejected | are the same | a preference needs two answers", rejected="A black  cat."),
    of_cat("placeholder", "rejected | holds <image> | take it out", rejected="<image>\nA cat."),
    of_cat("half a character", "prompt | holds half a character | take it out", prompt="A \ud83d?"),
    of_cat("changes in a list", "changes | is [Change( | must be a tuple of Change", changes=list(CAT.changes)),
    of_cat("changes of a row", "changes | is ({ | must be a tuple of Change", changes=tuple(change())),
    of_cat("provenance of a row", "provenance | is {'cost' | must be None or a Provenance", provenance=MADE),
    of_cat("picture_last a text", "picture_last | is 'no' | must be True or False", picture_last="no"),
    # preferences: files
    within(pair_files.write, "a file that is there", writing(CAT), "file | exists | append to it, or choose another name",
           FileExistsError, file=line()),
    within(pair_files.write, "folder", writing(CAT, name="images"), FOLDER),
    within(pair_files.write, "no pair", writing("A cat."), "write: 'A cat.' | is no Pair | give pairs"),
    within(pair_files.append, "no pair", writing(ROW), "append: { | is no Pair | give pairs", file=line() + "\n"),
    within(pair_files.append, "no folder", writing(CAT, name="no/file"), NO_FOLDER),
    *(within(pair_files.append, f"not ours: {content[:9]!r}", writing(CAT),
             "file: 1 fault\n  the last line | is no pair and not the beginning of one | give a file of pairs", file=content)
      for content in ("a note", "note 1\nnote 2\n\n", '[\n {"id": 1}\n]', '{"id": 1, "caption": "a"}\n', '{"id": 2}',
                      f"{line()}\nA diary entry", "3\n", DEEP)),
    within(pair_files.mend, "no file", at_file, NOT_THERE),
    within(pair_files.mend, "folder", at_folder, FOLDER),
    of(pair_files.mend, "", "not ours", "a note", "the last line, b'a note' | is no pair | give a file of pairs"),
    within(pair_files.read, "no file", at_file, NOT_THERE),
    of(pair_files.read, "line 2: ", "second line", f"{line()}\n{line('id', chosen='')}\n{line('hash')}",
       "no id | line 2: chosen is '' | must be the true answer", count=3),
    within(pair_files.find_faults, "no file", at_file, NOT_THERE),
    within(pair_files.find_faults, "no folder of pictures", lambda f, here: f(here / "file", here / "lost"),
           "lost' | is no folder | name the one that holds the pictures", file=line()),
    given(pairs_module.checked, "no pair", ("train", CAT.chosen), "train: 'A black cat.' | is no Pair | give pairs"),
    within(pair_files.validate, "folder", at_folder, FOLDER),
    within(pair_files.find_faults, "folder", at_folder, FOLDER),
    within(pair_files.validate, "no folder of pictures", lambda f, here: f(here / "file", here / "lost"),
           "lost' | is no folder | name the one that holds the pictures", file=line()),
    within(pair_files.validate, "picture missing", at_both, "line 1: image 'b.jpg' | is not in | fetch it",
        file=pictured("b.jpg")),
    within(pair_files.validate, "picture cut short", at_both, "line 1: image 'cut.png' | cannot be read | fetch it again",
           file=pictured("cut.png")),
    ours("empty", "", "the file | holds nothing | give one that has rows"),
    ours("no JSON", "{no\n", "no JSON | (Expecting property name enclosed in double quotes at column 2) | mend it there"),
    ours("too deep", DEEP + "\n", "no JSON | (maximum recursion | mend it there"),
    ours("too many digits", "9" * 5_000 + "\n", "no JSON | (Exceeds the limit | mend it there"),
    ours("not UTF-8", line().encode() + b"\n\xff\n", "line 2: byte 1 | (0xff) is not UTF-8 | save the file as UTF-8"),
    ours("torn", f"{line()}\n{line()[:30]}", "line 2 | torn after 30 bytes by what ended its | take it off, as `mend` does"),
    ours("list", f"[{line()}]", "[{ | is no object | each line holds one pair"),
    ours("no prompt", line("prompt"), " | no prompt | give the question, as text"),
    ours("no changes", line("changes"), " | no changes | give a list, empty where the source does not tell them"),
    ours("no provenance", line("provenance"), " | no provenance | give null, or an object"),
    ours("no hash", line("hash"), " | no hash | give the one that `append` has written"),
    ours("no picture_last", line("picture_last"), " | no picture_last | give true or false"),
    ours("blank id", line(id=" "), "id | is ' ' | must be a name of its own, as text"),
    ours("answer a number", line(chosen=3), "chosen | is 3 | must be the true answer, as text"),
    ours("answer null", line(rejected=None), "rejected | is None | must be the corrupted answer, as text"),
    ours("answer missing", line("chosen", changes=change()), " | no chosen | give the true answer, as text"),
    ours("blank answers", line(chosen=" ", rejected=""), "chosen is ' ' | rejected is '' | must be the corrupted answer", count=2),
    ours("same answers", line(rejected="A  black\ncat."), "chosen and rejected | are the same | a preference needs two answers"),
    ours("placeholder", line(prompt="<image>\nWhat?"), "prompt | holds <image> | take it out"),
    ours("half a character", line(chosen="A \ud83d cat"), "chosen | holds half a character ('A \\ud83d cat') | take it out"),
    ours("picture_last a text", line(picture_last="no"), "picture_last | is 'no' | must be true or false"),
    ours("unknown field", line(note="x"), " | unknown field 'note' | take it out"),
    ours("changes an object", line(changes={}), "changes | is {} | must be a list"),
    ours("provenance a text", line(provenance="m"), "provenance | is 'm' | must be null, or an object"),
    ours("provenance short", line(provenance={"model": "m"}),
        "provenance | is {'model': 'm'} | with model, prompt, time, cost, no more"),
    *(ours(f"cost {cost}", line(provenance=MADE | {"cost": cost}),
        f"provenance: Provenance.cost | is {cost} | give US dollars, 0 or more")
      for cost in (-1, NAN, INF, True)),
    ours("change short", line(changes=[{"kind": "object"}]),
        "change 1 | is {'kind': 'object'} | with kind, chosen, rejected, no more"),
    ours("change of a number", line(changes=change(rejected=3)), "change 1: Change.rejected | is 3 | must be text"),
    ours("change unknown", line(changes=change("colour")), "change 1: Change.kind | is 'colour' | choose one of object, relation"),
    ours("change of nothing", line(changes=change("object", "black", "black")),
        "change 1 | 'black' stands on both sides | leave it out"),
    ours("change not there", line(changes=change(chosen="dog", rejected="lack")),
         "change 1: 'dog' does not stand in chosen | 'lack' does not stand in rejected | give the words that do", count=2),
    ours("edited", line(prompt="Really?"),
        f"hash | is {replace(CAT, prompt='Really?').hash}: one was edited | write the pair anew"),
    ours("twice", f"{line()}\n\n{line()}",
         f"line 3: id 1 | line 3: content {CAT.hash[:16]} already stands in line 1 | take one out, or change it", count=2),
    *(ours(f"path {image}", pictured(image), f"image {image!r} | {LEAVES}")
      for image in ("../a.jpg", "b/../../a.jpg", "/etc/a.jpg", r"..\a.jpg", r"C:\a.jpg")),
    *(ours(f"no {image}", pictured(image), f"image {image!r} | {NO_SCENE}")
      for image in ("scene:", "scene:test/typical/-1", "scene:dev/mixed/1", "scene:test/odd/1", "scene:test/mixed/01",
                    f"scene:test/mixed/{10**18}")),
    # pictures
    given(images_module.scene, "file", ("a.jpg",), f"image 'a.jpg' | {NO_SCENE}"),
    given(images_module.check_name, "path that leaves", ("../a.jpg",), f"image '../a.jpg' | {LEAVES}"),
    given(images_module.check_name, "no scene", ("scene:test",), f"image 'scene:test' | {NO_SCENE}"),
    given(images_module.locate, "no folder", ("a.jpg",), "image 'a.jpg' | is a file | say in which folder (images=...)"),
    given(images_module.locate, "name too long", ("w" * 300, "."), "image 'www | is not in . | fetch it, or name the folder"),
    within(images_module.picture, "no picture", lambda f, here: f("page.jpg", here / "images"),
           "image 'page.jpg' | cannot be read | fetch it again"),
    within(images_module.name_in, "not there", lambda f, here: f("coco/b.jpg", here / "images"),
        "image 'coco/b.jpg' | is not in | fetch it, or name the folder that it is in"),
    given(images_module.picture, "path that leaves", ("/etc/hosts", "/etc"), f"image '/etc/hosts' | {LEAVES}"),
    within(images_module.check_folder, "file", at_file, "file' | is no folder | name the one that holds the pictures", file=""),
    # preference_files
    povids("empty", "[]", "the file | holds nothing | give one that has rows"),
    povids("no JSON", "[{\n", "line 2 | no JSON | mend it there"),
    povids("too deep", DEEP, "line 1 | no JSON | mend it there"),
    povids("UTF-16", povid().encode("utf-16"), "the file | is UTF-16 | save it as UTF-8"),
    povids("number", "[3]", "3 | is no object | a row is one"),
    povids("id a number", povid(id=7), "id | is 7 | must be text"),
    povids("no image", povid(image=""), "image | is '' | must be the picture's file name"),
    povids("image missing", json.dumps([{"id": "1"}]), " | no image | give it", count=3),
    povids("further field", povid(type="detail"), "field 'type' | has no place in a pair | take it out"),
    povids("rounds", povid(conversations=turns(more=turns("And?"))), "conversations | has 4 turns | split the rounds"),
    povids("three turns", povid(conversations=[*turns(), turns()[0]]), "conversations: [ | is no list of rounds | so split",
        count=2),
    povids("text for turns", povid(conversations="none"), "conversations: 'none' | is no list of rounds | each is a question"),
    *(povids(f"turn {turn!r}", povid(conversations=[turn, turns()[1]]), f"conversations: turn 1 | is {turn!r} | must be from human")
      for turn in ("What?", 3, None)),
    povids("exchanged", povid(conversations=turns()[::-1]), "conversations: turn 1 | is {'from': 'gpt' | must be from human",
        count=2),
    povids("one turn", povid(conversations=turns()[:1]), "conversations: [ | is no list of rounds | each is a question from human"),
    povids("field of a turn", povid(conversations=[turns()[0], {"from": "gpt", "value": "A cat.", "score": 1}]),
           "conversations, turn 2: field 'score' | has no place in a pair | take it out"),
    povids("questions differ", povid(rejected_conversations=turns("<image>\nWho?")),
           "line 1, entry 1: the questions | differ: '<image>\\nWhat?' | a pair has one question"),
    *(povids(f"question {question!r}", asked(question),
             f"line 1, entry 1: the question | is {question!r} | <image> must stand once, on a line of its own")
      for question in ("What?", "What <image>?", "<image>", "<image>\n<image>")),
    povids("same answers", povid(rejected_conversations=turns()), "chosen and rejected | are the same | a preference needs two"),
    povids("name of another", povid({}, {"id": "1#2"}), "line 1, entry 2: id '1#2' | would be taken for a later row | rename it"),
    povids("name taken", povid({"id": "1#2"}, {}, {}),
        "line 1, entry 3: id 1#2 | already stands in line 1, entry 1 | take one out"),
    within(povid_json.read_povid, "no file", at_file, NOT_THERE),
    within(povid_json.write_povid, "no pair", writing(CAT, "A cat."), "write_povid: 'A cat.' | is no Pair | give pairs", file="[]"),
    within(povid_json.write_povid, "id twice", writing(CAT, CAT), "write_povid: id '1' | stands in two pairs | give each its own"),
    within(povid_json.write_povid, "no folder", writing(CAT, name="no/file"), NO_FOLDER),
    to_trl("no prompt", line("prompt"), " | no prompt | give the question, as text"),
    to_trl("empty", "\n", "the file | holds nothing | give one that has rows"),
    of(trl_dataset.to_trl, "pair 1: ", "folder not told", line(),
        "image 'a.jpg' | is a file | say in which folder (images=...); `validate`"),
    within(trl_dataset.to_trl, "no file", at_file, NOT_THERE),
    given(trl_dataset.to_trl, "no folder of pictures", ("x.jsonl", "nowhere"), "images='nowhere' | is no folder | name the one"),
    given(trl_dataset.from_trl, "columns missing", (Dataset.from_dict({"id": ["a"]}),),
        "The dataset | lacks images, | can be turned back"),
    given(trl_dataset.from_trl, "two images", (columns(images=["a", "b"]),),
        "the dataset: 1 fault\n  row 1 (1): | 2 pictures | keep one, or leave the row out"),
    given(trl_dataset.from_trl, "two prompt", (columns(prompt=[{"role": "user", "content": "?"}, {"role": "assistant", "content": "!"},
        {"role": "user", "content": "?"}]),), "row 1 (1): | is not one named picture | leave it out, or split it"),
    given(trl_dataset.from_trl, "no name", (columns(images=[{"path": None}]),), "row 1 (1): | is not one named picture | leave it out"),
    given(trl_dataset.skip_text_only, "no column", (Dataset.from_dict({"id": ["a"]}),),
        "The dataset | has no column images | its columns: id"),
    within(trl_dataset.write_trl, "folder not told", writing(CAT), "image 'a.jpg' | is a file | say in which folder (images=...)"),
    within(trl_dataset.write_trl, "no pair", writing(OTHER, "A cat."), "write_trl: 'A cat.' | is no Pair | give pairs", file="[]"),
    within(trl_dataset.write_trl, "no folder", writing(OTHER, name="no/file"), NO_FOLDER),
    within(trl_dataset.write_trl, "no folder of pictures", lambda f, here: f(here / "file", [CAT], here / "lost"),
           "lost' | is no folder | name the one that holds the pictures"),
    *(within(trl_dataset.write_trl, f"picture {name}", lambda f, here, pair=replace(CAT, image=name): f(here / "file", [OTHER, pair],
        here / "images"),
             f"image '{name}' | {said}", file="[]")
      for name, said in (("b.jpg", "is not in | fetch it"), ("cut.png", "cannot be read | fetch it again"), ("../secret.png",
          LEAVES))),
    within(trl_dataset.read_trl, "no file", at_file, NOT_THERE),
    within(trl_dataset.read_trl, "no Parquet", at_file, "file | is no Parquet file | give one that was written whole", file=line()),
    within(trl_dataset.read_trl, "columns missing", at_file, "The dataset | lacks images, | can be turned back", file=PARQUET),
    within(trl_dataset.read_trl, "other types", at_file, "file: 2 faults | column prompt is of type string | must be list<",
           file=parquet_of(columns().add_column("x", [1]).map(lambda row: {"prompt": "?", "changes": "none"}))),
    within(parquet_module.names_in, "no file", at_file, NOT_THERE),
    within(parquet_module.rows_of, "no Parquet", at_file, "file | is no Parquet file | give one that was written whole", file=line()),
    # data of others
    within(others.files_of, "nothing in a folder", lambda f, here: f(here), "test_refused | holds no .parquet and no .jsonl file | name a file"),
    within(others.read, "no file", at_file, NOT_THERE),
    within(others.read, "no picture", at_file, "file: 1 fault\n  line 1: | 0 pictures | skip all rows without one",
           file='{"question": "?", "chosen": "a", "rejected": "b"}'),
    within(others.read, "text-only alone", lambda f, here: f(here / "file", None, True), "file: | all 1 rows are without a picture | give",
           file='{"question": "?", "chosen": "a", "rejected": "b"}'),
    within(others.read, "another form", at_file, "line 1: | no prompt, no rejected (its keys: image, chosen, text) | the known forms are",
           file='{"image": "a.jpg", "chosen": "a", "text": "b"}'),
    within(others.read, "text that is no JSON", at_file, "line 1: | text holds no JSON | mend it there",
           file='{"image": "a.jpg", "text": "{"}'),
    within(others.read, "special parts", lambda f, here: f(here / "file", here / "images"), "line 1: | chosen is '' | must be",
           file='{"image": "a.jpg", "question": "?", "chosen": "", "rejected": "b"}'),
    # truths
    within(true_answers.read_truths, "no file", lambda f, here: f(here / "file", "What?"), NOT_THERE),
    within(true_answers.read_truths, "list of others", lambda f, here: f(here / "file", "What?"),
           "conversations: None | is no list of rounds | each is a question", file='[{"id": "7", "image": "a.jpg"}]'),
    within(true_answers.read_truths, "object of others", lambda f, here: f(here / "file", "What?"),
           "the table `images` | is missing | give COCO's annotation file", file="{}"),
    llavas("no id", llava(id=None), " | no id | give the row one"),
    llavas("id true", llava(id=True), "id | is True, neither number nor name | give it one of them"),
    llavas("two pictures", llava(image=["a.jpg", "b.jpg"]), "image | is ['a.jpg', 'b.jpg'] | must be the picture's file name"),
    llavas("no rounds", llava(conversations=[]), "conversations: [] | is no list of rounds | each is a question from human"),
    llavas("no placeholder", llava(conversations=turns("What?")),
        "turn 1 | is 'What?' | <image> must stand once in the first turn"),
    llavas("no texts", llava(conversations=turns("<image>", " ")), "turn 1 is '<image>' | turn 2 is ' ' | give the answer",
        count=2),
    within(true_answers.read_llava, "folder", at_folder, FOLDER),
    within(true_answers.read_truths, "no prompt", lambda f, here: f(here / "file", " "),
        "prompt | is ' ' | must be the question that the captions answer", file="{}"),
    cocos("no JSON", "{", "line 1 | no JSON | mend it there"),
    cocos("no table", '{"images": []}', "the table `annotations` | is missing | give COCO's annotation file"),
    cocos("image not listed", coco(image_id=6), "image 6 | is not in the table `images` | list it there, or take the caption out"),
    cocos("blank caption", coco(caption=" "), "caption | is ' ' | give the caption's text"),
    of(true_answers.read_coco_captions, "`images`, row 1: ", "no name", coco({"id": 5}), " | no file_name | give it", prompt="What?"),
    cocos("name a number", coco({"id": 5, "file_name": 3}), "file_name of image 5 | is 3 | give the picture's file"),
    given(true_answers.read_coco_captions, "no prompt", ("x", " "), "prompt | is ' ' | must be the question that the captions answer"),
    given(true_answers.read_coco_captions, "placeholder", ("x", "<image>\nWhat?"), "prompt | holds <image> | take it out"),
    # audit
    given(audit.audit, "nothing", ([],), "audit | no pairs | give at least one"),
    given(audit.audit, "name of a file", ("pairs.jsonl",), "audit: 'p' | is no Pair | such as `read` yields of a file"),
    given(audit.audit, "no folder of pictures", ([CAT], "nowhere"), "images='nowhere' | is no folder | name the one"),
    given(audit.text_shortcut, "nothing", ([],), "text_shortcut | no pairs | give at least one"),
    given(audit.text_shortcut, "one picture", ([CAT, CAT],),
        "text_shortcut: all pairs | are about 'a.jpg' | at least two pictures"),
    given(audit.text_shortcut, "no words", ([replace(pair, chosen="!", rejected="?") for pair in (CAT, OTHER)],),
          "text_shortcut: the answers | '!' first, hold no word | give pairs in words"),
    given(audit.text_shortcut, "tested on its own", ([CAT, OTHER], 0, [OTHER]),
        "text_shortcut: 1 pictures | stand in both pairs and test | test on others"),
    given(audit.balanced, "name of a file", ("pairs.jsonl",), "balanced: 'p' | is no Pair | such as `read` yields of a file"),
    given(audit.with_image, "truth missing", ([CAT, OTHER], {"a.jpg": ["cat"]}, str.split),
          "with_image: `present` | lacks 1 pictures, the first is 'scene:test/mixed/7' | add them"),
    # hallucinate
    given(corrupt_text.Offline, "difficulty", ("hard",), "Offline.difficulty | is 'hard' | choose one of random, context, partner"),
    *(given(corrupt_text.Offline, f"weight {weight}", ("random", weight), f"Offline.objects | is {weight} | 0 or more, and finite")
      for weight in (-0.1, NAN, INF)),
    *(given(corrupt_text.Offline, f"seed {seed}", (), f"Offline.seed | is {seed} | give a whole number, 0 or more", seed=seed)
      for seed in (-1, 0.5)),
    given(corrupt_text.Offline, "world", (), "Offline.world | is 'flat' | choose one of typical, counter_typical, mixed", world="flat"),
    *(given(corrupt_text.pairs, f"{n}", (n,),
        f"pairs: n | is {n} | give a whole number from 1 to 400,000, and another seed for more")
      for n in (0, -1, 400_001, 2.5, NAN)),
    given(corrupt_text.Offline, "no weight", ("random", 0, 0, 0, 0), "Offline | all weights are zero | give at least one kind"),
    # distort
    *(choices(f"step {step!r}", (),
        f"ImageDispreference: step | is {step!r} | give a whole number, as the schedule has 0 to 999", noise_step=step)
      for step in (-1, 1000, 0.5, NAN, "500")),
    *(choices(name, (), f"ImageDispreference.{name} | is 'other' | choose one of {known}", **{name: "other"})
      for name, known in {"weakening": "noise, masking", "noise_place": "image, pixel_values", "noise_overflow": "clamp, wrap",
                          "noised_tokens": "argmax, second, sample",
                          "scored_under": "noised, clean", "reference_tokens": "policy, own"}.items()),
    *(choices(f"share {share}", (), f"ImageDispreference.masked_share | is {share} | must lie in [0, 1]", masked_share=share)
      for share in (-0.1, NAN)),
    choices("wrap without bytes", (),
            "ImageDispreference.noise_overflow | is 'wrap', but pixel_values are never 8-bit | leave it out, or choose noise_place=\"image\"",
            noise_place="pixel_values", noise_overflow="wrap"),
    given(arguments_module.check_choice, "unknown", ("mode", "c", ("a", "b")), "mode | is 'c' | choose one of a, b"),
    given(corrupt_image.diffuse, "step", (LOGITS, 1000, None), "diffuse: step | is 1000 | 0 to 999"),
    given(corrupt_image.diffuse, "whole numbers", (LABELS, 5, None), "diffuse: x | is of type torch.int64 | scale the picture"),
    given(corrupt_image.diffuse, "picture", (PICTURE, 5, None),
        "diffuse: x | is of type Image | give a tensor, or a picture to `noised`"),
    given(dispreference.noised_pixels, "pictures missing", ([PICTURE], torch.zeros(2, 3, 4, 4), dispreference.PAPER, None, [None] * 2),
        "noised_pixels: 1 images, 2 rows of pixel_values | and 2 generators | give as many of each"),
    given(corrupt_image.noised, "step", (PICTURE, -1, None), "noised: step | is -1 | 0 to 999"),
    given(corrupt_image.noised, "overflow", (PICTURE, 5, None, "saturate"),
        "noised: overflow | is 'saturate' | choose one of clamp, wrap"),
    given(corrupt_image.eight_bit, "overflow", (np.zeros(2), "no"), "eight_bit: overflow | is 'no' | choose one of clamp, wrap"),
    *(given(corrupt_image.eight_bit, f"value {value}", (np.array([0, value]), "wrap"),
        "eight_bit: values | hold NaN or infinity | mend what")
      for value in (NAN, INF)),
    *(given(weaken, what, (image, *more), f"{weaken.__name__}: image | {fault} | give ")
      for weaken, *more in ((corrupt_image.noised, 5, None), (corrupt_image.flat,), (corrupt_image.cropped, 0.5, None),
                            (corrupt_image.patches_shuffled, 2, None), (corrupt_image.downscaled, 2))
      for what, image, fault in (("name of a picture", "a.jpg", "is of type str"), ("no pixels", EMPTY, "has 0 x 3 pixels"))),
    *(given(corrupt_image.cropped, f"share {share}", (PICTURE, share, None), f"cropped: share | is {share} | must lie in (0, 1]")
      for share in (0, 1.1, NAN)),
    *(given(corrupt_image.patches_shuffled, f"grid {grid}", (PICTURE, grid, None),
            f"patches_shuffled: grid | is {grid}, and the picture 12 x 10 pixels | give a whole number from 1 to 10")
      for grid in (0, 11, 2.0)),
    *(given(corrupt_image.downscaled, f"factor {factor}", (PICTURE, factor),
        f"downscaled: factor | is {factor} | a whole number, at least 1")
      for factor in (0, 1.5)),
    *(given(dispreference.image_tokens_masked, f"share {share}", (EYED, BLIND, share, None), f"share | is {share} | must lie in [0, 1]")
      for share in (-0.1, NAN)),
    given(dispreference.image_tokens_masked, "no picture", (EYED, BLIND, 0.5, None),
        "row 0 | holds no image tokens | encode it with its"),
    given(dispreference.masked, "no picture", (LABELS, LABELS > 9, 0.5, [None]), "row 0 | holds no image tokens | encode it with its"),
    dispreferred_tokens("unknown", (LOGITS, LABELS, "third"), "tokens | is 'third' | choose one of argmax, second, sample"),
    dispreferred_tokens("shape", (LOGITS, LABELS[0], "argmax"),
        "logits (1, 2, 3) | do not fit labels (2,) | one row of logits for each"),
    dispreferred_tokens("no vocabulary", (LOGITS[0, 0, 0], LABELS[0, 0], "argmax"), "logits () | do not fit labels () | one row"),
    dispreferred_tokens("type of logits", (LABELS[..., None], LABELS, "argmax"),
        "logits | are torch.int64 | give floating-point logits"),
    dispreferred_tokens("type of labels", (LOGITS, LABELS.float(), "second"), "logits | labels torch.float32 | int64 labels"),
    dispreferred_tokens("NaN", (LOGITS * NAN, LABELS, "argmax"), "logits | hold NaN | mend the model or its inputs"),
    *(dispreferred_tokens(f"label {label}", (LOGITS, LABELS + label, "second"),
                          f"labels | lie between {label} and {label}, outside the vocabulary of 3 | leave out positions")
      for label in (-100, 3)),
    # dispreferred
    given(next_word.next_words, "nothing", (None, [], None), "next_words: | 0 dilemmas | give one at least"),
    given(next_word.window, "doses that do not fit", ([1, 2], np.zeros((3, 4)), []),
        "window: tables of one shape | (dilemmas, 2) | are needed, not [(3, 4)]"),
    given(next_word.at_equal_truth, "never reached", ({"noise": (np.ones((2, 3)), np.ones((2, 3)))}, 0.2),
        "at_equal_truth: 'noise' | leaves the truth 1.00 to 1.00, never 0.2 | add doses"),
    given(next_word.without_cause, "full scene",
        (next_word.Dilemma(SimpleNamespace(names=next_word.NAMES), "", "", next_word.NAMES[0]),),
        "without_cause: | every pair of the context | take another scene"),
    given(token_changes.sort_of, "no caption of this world", (sample_scene(0), ["Quo", "vadis"], 1, "a"),
        "sort_of: 'vadis' after 'Quo' | is in no caption | of the pocket world"),
    given(token_changes.sorts, "caption missing", (None, [0], [], None), "sorts: | 1 scenes and 0 captions | as many of each"),
    given(token_changes.sorts, "tokens", (None, [0], [""], None, None, 1, "third"),
        "sorts: tokens | is 'third' | choose one of argmax"),
    # rewriter_request: settings
    setting("no model", "model | is ' ' | name the model to ask", model=" "),
    *(setting(f"base_url {url}", "base_url | must be http(s)://host | without user, password, query or fragment", base_url=url)
      for url in ("api.openai.com/v1", "ftp://x.test", "https://user:password@x.test/v1", "https://x.test/v1?api-key=1",
                  "http://x.test:port")),
    setting("no key_variable", "key_variable | must be the name of an environment variable | such as OPENAI_API_KEY",
        key_variable=""),
    setting("price below 0", "input_price | is -1.0 | give dollars for a million tokens, 0 or more", input_price=-1.0),
    *(setting(f"price {price!r}", f"output_price | is {price!r} | give dollars for a million tokens, 0 or more", output_price=price)
      for price in (NAN, "10")),
    *(setting(f"limit {limit}", f"spending_limit | is {limit} | give a number above 0", spending_limit=limit)
      for limit in (-1, 0, NAN, INF, True)),
    setting("temperature", "temperature | is 2.1 | give a number from 0 to 2", temperature=2.1),
    *(setting(f"max_tokens {tokens}", f"max_tokens | is {tokens} | give a whole number, 1 or more", max_tokens=tokens)
      for tokens in (0, 10.0)),
    setting("no concurrency", "concurrency | is 0 | give a whole number, 1 or more", concurrency=0),
    setting("retries below 0", "retries | is -1 | give a whole number, 0 or more", retries=-1),
    setting("no time", "timeout | is 0 | give a number above 0", timeout=0),
    *(setting(f"kinds {kinds!r}", f"kinds | is {kinds!r} | give a tuple of object, relation", kinds=kinds)
      for kinds in ((), "object", ("object", "colour"))),
    setting("kind twice", "kinds | is ('object', 'object') | name each once", kinds=("object", "object")),
    setting("step alone", "kinds | has step without result | makes no false answer; add result", kinds=("step",)),
    setting("detail", "detail | is 'auto' | choose low or high", detail="auto"),
    setting("image_tokens", "image_tokens | is (85,) | give two whole numbers", image_tokens=(85,)),
    setting("length_parameter", "length_parameter | is 'length' | choose max_completion_tokens or", length_parameter="length"),
    setting("all at once", "model is '' | timeout is 0 | give a number above 0", model="", timeout=0),
    # rewriter_request: rows and pictures
    prepared("nothing", [], "There are | no truths | give one at least"),
    prepared("text", ["A dog."], "row 1 | str where a Truth is needed | give those of `truths`"),
    prepared("id twice", [TRUTH, TRUTH], "row 2 ('1'): id 1 | already stands in row 1 ('1') | take one out, or change it"),
    prepared("no id", [replace(TRUTH, id="")], "row 1 ('') | id is '' | must be a name of its own"),
    prepared("id a number", [replace(TRUTH, id=7)], "row 1 (7) | id is 7 | must be a name of its own"),
    prepared("prompt missing", [replace(TRUTH, prompt=None)], "row 1 ('1') | prompt is None | must be the question"),
    prepared("no answer", [replace(TRUTH, answer="\n")], "row 1 ('1') | answer is '\\n' | must be the true answer"),
    prepared("half a character", [replace(TRUTH, answer="a \ud800")], "row 1 ('1') | answer holds half a character | take it out"),
    prepared("placeholder", [replace(TRUTH, prompt="<image>\nWhat?")], "row 1 ('1') | prompt holds <image> | take it out"),
    prepared("NUL", [replace(TRUTH, image="a\0.jpg")], "row 1 ('1') | image has a NUL | take it out"),
    prepared("long answer", [replace(TRUTH, answer="dog " * 600)], "row 1 ('1') | which max_tokens=512 cannot hold | raise it"),
    prepared("reasoning", [REASONED], "row 1 ('r') | a reasoning item, and none of the kinds object fits | leave it out, or add"),
    prepared("two of three", [replace(TRUTH, prompt=""), TRUTH, replace(TRUTH, id="3", image="b.jpg")],
             "truths: 2 faults\n  row 1 ('1'): prompt | row 3 ('3'): image 'b.jpg' is not in | fetch it"),
    picture_of("scene:train/typical/1", "is a scene and no file | save its picture"),
    picture_of("scene:train/odd/1", NO_SCENE),
    *(picture_of(name, LEAVES) for name in ("../secret.png", "/etc/passwd")),
    *(picture_of(name, "is not in | fetch it, or name the folder that it is in")
      for name in ("loop.png", "none.png", "sub", "x" * 5000)),
    *(picture_of(name, "cannot be read | fetch it again, or leave it out") for name in ("page.jpg", "empty.png", "cut.png")),
    picture_of("moving.gif", "is a moving picture | save one frame of it as JPEG or PNG"),
    picture_of("old.bmp", "is BMP | save it as JPEG or PNG"),
    picture_of("huge.png", "has 8000 x 8000 pixels | make it smaller"),
    picture_of("heavy.png", "has 21,000,000 bytes | make it smaller"),
    within(request.prepare, "no folder", lambda f, here: f(CONFIG, [TRUTH], here / "none"),
           "none' | is no folder | name the one that holds the pictures"),
    within(request.request_body, "picture changed", changed_picture, "a.jpg | changed while the rewriter ran | start it again"),
    given(request.picture_tokens, "no pixels", (0, 5, CONFIG), "the picture | is 0 x 5 pixels | give sides of 1 or more"),
    # rewriter
    within(rewriter.rewrite, "one file for two", asking(names=["a", "a"]),
        "a | is given both as journal and as rejects | give two"),
    within(rewriter.rewrite, "ids in one text", asking(done="1"), "done | is '1' | give a set or list of ids"),
    within(rewriter.rewrite, "bad row", asking([replace(TRUTH, image="cut.png")]), "row 1 ('1') | cannot be read | fetch it again"),
    within(rewriter.rewrite, "no folder", asking(images="none"), "none' | is no folder | name the one that holds the pictures"),
    *(within(rewriter.rewrite, f"journal: {content}", asking(), f"journal{said}", journal=content)
      for content, said in (
          ("my notes", f": 1 fault\n  {NOTES}"),
          (line() + "\n", ", line 1 | no event of a journal of answers | give the file"),
          ('{"event": \n{"event": "reserved", "key": "k", "dollars": 1}\n', ": 1 fault\n  line 1: | no JSON | mend it there"),
          ('{"event": "reserved", "key": "k", "dollars": -1}\n', ", line 1 | dollars is -1 | mend the line"),
          ('{"event": "reserved", "key": "k", "dollars": 1%s}\n' % ("0" * 400), ", line 1 | dollars is 1000 | mend the line"),
          ('{"event": "reserved", "key": "k", "dollars": Infinity}\n', ", line 1 | dollars is inf | mend the line"),
          ('{"event": "reserved", "key": 1, "dollars": 1}\n', ", line 1 | key is 1 | mend the line"),
          ('{"event": "batch", "requests": {"k": -1}}\n', ", line 1 | requests is {'k': -1} | mend the line"),
      )),
    *(within(rewriter.rewrite, f"rejects: {content[:9]!r}", asking(), f"rejects{said} | give", rejects=content)
      for content, said in ((line() + "\n", ", line 1 | no reject"),
                            ("my notes", ": 1 fault\n  the last line, | is no reject"),
                            (b"\xff\xd8\xff", ": 1 fault\n  the last line, | is no reject"))),
    within(rewriter.dry_run, "no row", asking([], names=["journal"]), "There are | no truths | give one at least"),
    within(rewriter.dry_run, "notes", asking(names=["journal"]), f"journal: 1 fault\n  {NOTES}", journal="my notes"),
    # remote
    given(server.Server, "no model", (" ", 1.0, 1.0, 1.0), "Server.model | is ' ' | name the model to ask"),
    given(images_module.as_rgb, "32 bits", (Image.new("F", (2, 2)),), "A picture of 2 x 2 | has greys of 32 bits | save it with 8"),
    within(images_module.open_picture, "a page", lambda f, here: f(here / "images" / "page.jpg"),
        "page.jpg | cannot be read | fetch it again"),
    *(given(operation, "no key", (replace(CONFIG, key_variable="NO_SUCH_KEY"), *more),
        "NO_SUCH_KEY | is not set | put the server's key")
      for operation, *more in ((server.key_of,), (client.asker, "v1", print))),
    given(server.key_of, "spaces", (replace(CONFIG, key_variable="ODD_KEY"),),
        "ODD_KEY | has spaces or odd characters | set it anew"),
    # rewriter_prompts
    *(given(prompts.messages, f"kinds {kinds}", (TRUTH, kinds, "data:", "low"),
        f"messages: kinds | is {kinds} | give one or more of object")
      for kinds in ((), ("colour",))),
    given(prompts.response_format, "no kinds", ([],), "response_format: kinds | is [] | give one or more of object"),
    given(prompts.read_reply, "cut off", (reply(finish_reason="length"), ["step"]),
        "the answer | did not end within max_tokens | raise"),
    given(prompts.read_reply, "web page", ("<html>", ["step"]),
        "the server's answer | has no choices with a message | check base_url"),
    # rewriter_journal
    within(ledger.read_journal, "folder", at_folder, FOLDER),
    within(ledger.read_journal, "too deep", at_file, "file: 1 fault\n  line 1: | no JSON | mend it there", file=DEEP + "\n"),
    within(ledger.open_journal, "folder", partial(entered, name="images"), FOLDER),
    within(ledger.open_journal, "in use", entered_twice, "file | is in use by another run | wait for it, or give another file",
           file=""),
    within(ledger.open_journal, "notes", entered, f"file: 1 fault\n  {NOTES}", file="my notes"),
    within(outcomes.read_rejects, "folder", at_folder, FOLDER),
    within(outcomes.renew_rejects, "notes", lambda f, here: f(here / "file", [], []), "file: 1 fault\n  the last line, | is no reject | give",
        file="my notes"),
    # rewriter_batch
    within(batch.write_batch, "no bytes", asking(file_bytes=0),
        "write_batch: file_bytes | is 0 | give a number of bytes, 1 or more"),
    within(batch.write_batch, "no row", asking([]), "There are | no truths | give one at least"),
    within(batch.write_batch, "notes", asking(names=["batch", "journal"]), f"journal: 1 fault\n  {NOTES}", journal="my notes"),
    *(within(operation, content[:20], taking, f"file: 1 fault\n  line {said}", file=content)
      for operation in (batch.read_batch, batch.drop_batch)
      for content, said in (
          ('{"custom_id": "mine"}', "1 | custom_id is 'mine' | give a file of `write_batch`, or what came back of one"),
          ("3", "1 | custom_id is None | give a file of `write_batch`"),
          ("{", "1 | no JSON | mend it there"), (DEEP, "1 | no JSON | mend it there"),
          (f'{{"custom_id": "{KEY}"}}\n' * 2, f"2 | custom_id {KEY} already stands in line 1 | take one out"),
      )),
    within(batch.read_batch, "no file", taking, NOT_THERE),
]  # fmt: skip


# --- attention, asked of the pocket model ------------------------------------------------------------------------


@cache
def pocket() -> models.VLM:
    return models.load("pocket")


@cache
def cup_read() -> attention.Reading:
    return attention.read(pocket(), PICTURE, "What?", "A red cup.")


def looking(operation, what, arguments, said, **named) -> Case:
    """A call with the pocket model before plain arguments."""
    return Case(operation, what, lambda f, here: f(pocket(), *arguments, **named), said)


def mapping(what, said, *arguments, **named) -> Case:
    """A map of what was read."""
    return Case(attention.patch_map, what, lambda f, here: f(cup_read(), *arguments, **named), said)


CUP = (PICTURE, "What?", "A red cup.")
PATCHES = torch.zeros(1, 6, 6, dtype=torch.bool)
CASES += [
    *(looking(operation, "no picture", ("a.png", *CUP[1:], *more),
        f"{operation.__name__}: image | is of type str | give a PIL picture")
      for operation, *more in ((attention.read,), (attention.word_map, "cup", "gradient"), (occlusion.occlusion_map, "cup"),
                               (occlusion.logps_without, "cup", PATCHES))),
    looking(attention.read, "no answer", (*CUP[:2], " "), "the response | is empty | give it at least one word"),
    given(attention.inputs, "no picture", ("read", None, None, "What?", "A cup."),
        "read: image | is of type NoneType | give a PIL picture"),
    given(arguments_module.check_share, "share", ("part", 1.5), "part | is 1.5 | it must lie in [0, 1]"),
    given(corrupt_image.check_step, "step", ("noise", 1000), "noise: step | is 1000 | give a whole number"),
    given(arguments_module.check_picture, "path", ("fill", Path("a.png")), "fill | is of type | give a PIL picture"),
    given(attention.side_of, "no square", (EYED, {"input_ids": torch.tensor([[1, 9, 9, 5]])}),
        "The picture | has 2 image tokens, which form no square | use a model of the LLaVA-1.5 family"),
    *(given(attention.rolled_on, what, shapes, "rolled_on: weights | do not fit | give two square matrices")
      for what, shapes in (("heads", (torch.ones(2, 3, 3), torch.ones(3, 3))), ("oblong", (torch.ones(2, 3), torch.ones(2, 3))),
                           ("sizes", (torch.ones(3, 3), torch.ones(2, 2))))),
    *(looking(operation, f"word {word!r} {nth}", (*(() if operation is attention.word_places else CUP[:1]), *CUP[1:], word, *more),
        f"word {word!r} | stands {times} times | give a word of the answer", nth=nth)
      for operation, *more in ((attention.word_places,), (attention.word_map,), (occlusion.logps_without, PATCHES))
      for word, nth, times in (("cu", 0, 0), ("cup", 1, 1), ("", 0, 0), ("cup", -1, 1))),
    looking(attention.word_map, "kind", (*CUP, "cup", "grad"), "word_map: kind | is 'grad' | choose one of raw, rollout, gradient"),
    looking(attention.word_map, "layer", (*CUP, "cup", "gradient", 2), "word_map: layer | is 2 | leave it out"),
    mapping("kind", "patch_map: kind | is 'gradient' | choose one of raw, rollout", [1], "gradient"),
    mapping("layer", "patch_map: layer | 4 is not there | give one from 0 to 3", [1], layer=4),
    mapping("place", "patch_map: place | 40 is not there | give one from 0 to 3", [40]),
    mapping("no place", "patch_map: 0 places | do not go together | give a place at least", []),
    mapping("rollout of a layer", "kind rollout, layer 1 | do not go together | a layer for raw maps only",
        [1], "rollout", 1),
    *(looking(occlusion.logps_without, f"hidden {what}", (*CUP, "cup", hidden),
        "logps_without: hidden | is torch | give bools, one row or more of 6 x 6")
      for what, hidden in (("one", PATCHES[0]), ("numbers", PATCHES.float()), ("none", PATCHES[:0]), ("size", PATCHES[:, :5]))),
    looking(occlusion.logps_without, "fill", (*CUP, "cup", PATCHES, "white"), "fill | is of type str | give a PIL picture"),
    *(looking(occlusion.occlusion_map, f"window {window}", (*CUP, "cup", window),
        f"occlusion_map: window | is {window} | give a whole number of patches, from 1 to 6") for window in (0, 7, 1.5)),
    given(occlusion.log_odds, "no log-probability", (torch.tensor([0.1]),),
        "log_odds: a value lies above 0 | is no log-probability | give logarithms of probabilities"),
    given(occlusion.rank_correlation, "sizes", (torch.rand(3, 3), torch.rand(2, 2)), "maps | differ | give two of one picture"),
    given(occlusion.rank_correlation, "even", (torch.rand(3, 3), torch.ones(3, 3)),
        "a map | has one value everywhere | give one that varies"),
    given(occlusion.share_on, "numbers", (torch.rand(3, 3), torch.ones(3, 3)), "weights | do not fit | bools of its shape"),
    given(occlusion.share_on, "sizes", (torch.rand(3, 3), PATCHES[0]), "weights | do not fit | bools of its shape"),
    *(given(occlusion.share_on, f"map of {value}", (torch.full((6, 6), value), PATCHES[0]),
        "share_on: weights | are negative somewhere or zero everywhere | give a map with something to share")
      for value in (0.0, -1.0, float("nan"))),
]  # fmt: skip


# --- the tests ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def images(tmp_path_factory) -> Path:
    """Pictures, one sound and the others not."""
    folder = tmp_path_factory.mktemp("pictures") / "images"
    (folder / "sub").mkdir(parents=True)
    Image.new("RGB", (4, 4)).save(folder / "a.jpg")
    Image.new("RGB", (4, 4)).save(folder.parent / "secret.png")
    (folder / "loop.png").symlink_to(folder / "loop.png")
    (folder / "page.jpg").write_text("<html>404</html>")
    (folder / "empty.png").touch()
    Image.effect_noise((64, 64), 50).save(folder / "cut.png")
    (folder / "cut.png").write_bytes((folder / "cut.png").read_bytes()[:900])
    Image.new("RGB", (9, 9)).save(folder / "moving.gif", save_all=True, append_images=[Image.new("RGB", (9, 9), 9)])
    Image.new("RGB", (9, 9)).save(folder / "old.bmp")
    Image.new("1", (8000, 8000)).save(folder / "huge.png")
    with (folder / "heavy.png").open("wb") as file:
        file.truncate(21_000_000)
    return folder


def written(folder: Path) -> dict[str, bytes | None]:
    """All files and folders with what they hold, but for the pictures."""
    found = [path for path in folder.rglob("*") if not path.is_symlink()]
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None for path in found}


def in_full(found: object) -> None:
    if isinstance(found, Iterator):
        list(found)


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_refused_with_thing_fault_and_remedy(case, images, tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    monkeypatch.setenv("ODD_KEY", "sk with spaces")
    sent: list[object] = []
    monkeypatch.setattr(socket.socket, "connect", lambda _, address: sent.append(address))
    (tmp_path / "images").symlink_to(images)
    for name, content in case.files.items():
        (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    before = written(tmp_path)
    with pytest.raises(case.error) as refused:
        in_full(case.call(case.operation, tmp_path))
    assert type(refused.value) in (case.error, SettingsError)  # and none of its kin that the standard library raises
    message, at = str(refused.value), 0
    thing, fault, remedy = case.said.split(" | ")
    for part in (thing, fault, remedy):
        assert part
        assert part in message[at:], message
        at = message.index(part, at) + len(part)
    assert written(tmp_path) == before
    assert sent == []


def public(module) -> set[str]:
    """What a module defines for others to call."""
    return {
        name
        for name, value in vars(module).items()
        if callable(value) and not name.startswith("_") and inspect.getmodule(value) is module
    }


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_every_public_operation_has_its_cases(module):
    cases = {case.operation.__name__ for case in CASES if case.operation.__module__ == module.__name__}
    assert cases
    assert public(module) - cases <= set(" ".join(TOTAL.values()).split())


def test_there_are_enough_cases_and_each_is_another():
    assert len({case.id for case in CASES}) == len(CASES) >= 60
    cases = {case.operation.__name__ for case in CASES}
    left = {name for module in MODULES for name in public(module)} - cases
    assert left == set(" ".join(TOTAL.values()).split())  # what has a case, or is there no longer, is not listed
