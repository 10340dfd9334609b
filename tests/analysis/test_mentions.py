"""Rows about mentions: the right word, the right token, the right probability."""

from dataclasses import replace

import numpy as np
import pytest

from povid_lib import models
from povid_lib.analysis.factors import Mention, captions_naming, cooccurrence_of, hellinger
from povid_lib.analysis.mentions import caption_rows, mention_rows, object_starts, token_at, token_ends
from povid_lib.metrics.vocabulary import coco_vocabulary
from povid_lib.world.captions import PROMPT
from povid_lib.world.judge import pocket_vocabulary
from povid_lib.world.scenes import scenes

BATCH = list(scenes(6, split="validation"))
NAMING = captions_naming([s.names for s in scenes(300)])


def test_starts_are_those_of_the_words():
    text = 'Two "hot dogs" and a dog. A bus!'
    found = [(text[at:].split()[0], name) for at, name in object_starts(text, coco_vocabulary())]
    assert found == [("hot", "hot dog"), ("dog.", "dog"), ("bus!", "bus")]


def test_rows_of_one_caption_by_hand():
    caption = "A fork and a knife. A knife!"
    rows = caption_rows("a.jpg", caption, {"fork"}, pocket_vocabulary(), NAMING)
    together = cooccurrence_of("knife", ["fork", "knife"], NAMING)
    assert rows == [
        Mention("a.jpg", "fork", 2, 7, False, together),
        Mention("a.jpg", "knife", 5, 7, True, together),
        Mention("a.jpg", "knife", 7, 7, True, together),
    ]
    measured = [(-1.0, 0.1), (-2.0, 0.2), (0.0, 0.3)]
    read = caption_rows("a.jpg", caption, {"fork"}, pocket_vocabulary(), NAMING, measured)
    assert [(r.logp, r.distance) for r in read] == measured
    assert [replace(r, logp=None, distance=None) for r in read] == rows
    assert caption_rows("a.jpg", "Nothing.", {"fork"}, pocket_vocabulary(), NAMING, []) == []
    with pytest.raises(ValueError, match=r"'a.jpg': 2 measured mentions, but 3 are named"):
        caption_rows("a.jpg", caption, {"fork"}, pocket_vocabulary(), NAMING, measured[:2])


def test_rows_agree_with_generation_and_with_the_plain_computation(vlm):
    pictures, blank = [s.image() for s in BATCH], [s.blank() for s in BATCH]
    answers = models.generate(vlm, pictures, PROMPT)
    texts = [a.text for a in answers]
    truths = [s.names for s in BATCH]
    rows = mention_rows(vlm, pictures, blank, PROMPT, texts, truths, pocket_vocabulary(), NAMING)
    assert {r.image for r in rows} == {str(i) for i in range(len(BATCH))}
    for row in rows:
        i = int(row.image)
        answer, word = answers[i], texts[i].split()[row.index - 1].strip(".,").lower()
        assert pocket_vocabulary().words[word] == row.name
        ends = token_ends(vlm, vlm.processor.tokenizer.encode(f" {texts[i]}"), texts[i])
        at = token_at(ends, texts[i].lower().index(word))
        assert answer.tokens[at].strip().lower() == word
        assert row.hallucinated == (row.name not in truths[i])
        assert row.length == len(texts[i].split())
    first = rows[0]
    so_far = texts[0][: object_starts(texts[0], pocket_vocabulary())[0][0]].rstrip()
    p, q = (models.next_token_probs(vlm, image, PROMPT, so_far).double().numpy() for image in (pictures[0], blank[0]))
    (word,) = models.word_tokens(vlm, texts[0].split()[first.index - 1].strip("."))
    assert first.logp == pytest.approx(np.log(p[word]), abs=1e-3)
    assert first.distance == pytest.approx(float(hellinger(p / p.sum(), q / q.sum())), abs=1e-3)
    named = pocket_vocabulary().mentioned(texts[0])
    assert first.cooccurrence == cooccurrence_of(first.name, named, NAMING)


def test_without_any_picture(vlm):
    pictures, texts = [s.image() for s in BATCH], ["There is a fork on the left."] * len(BATCH)
    truths = [s.names for s in BATCH]
    rows = mention_rows(vlm, pictures, None, PROMPT, texts, truths, pocket_vocabulary(), NAMING)
    assert [r.name for r in rows] == ["fork"] * len(BATCH)
    assert all(0 < r.distance <= 1 for r in rows)


def test_numbers_must_match(vlm):
    with pytest.raises(ValueError, match="must be as many"):
        mention_rows(vlm, [BATCH[0].image()], None, PROMPT, [], [["fork"]], pocket_vocabulary(), NAMING)
