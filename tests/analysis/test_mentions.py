"""Rows about mentions: the right word, the right token, the right probability."""

import math
from dataclasses import replace

import numpy as np
import pytest

from povid_lib import models
from povid_lib.analysis import mentions
from povid_lib.analysis.factors import Mention, captions_naming, cooccurrence_of, hellinger
from povid_lib.analysis.mentions import caption_rows, mention_rows, object_starts, token_at, token_ends, word_distance
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


@pytest.mark.slow
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


def test_a_words_distance_is_over_the_word_and_all_ways_to_leave_it():
    """Three tokens out of five: the word, and 12 ways to leave it, each with its probability."""
    rng = np.random.default_rng(0)
    p, q = rng.dirichlet(np.ones(5), 3), rng.dirichlet(np.ones(5), 3)
    word = (2, 0, 4)

    def spelt_out(steps):
        found = [math.prod(steps[k][word[k]] for k in range(3))]
        for at in range(3):
            before = math.prod(steps[k][word[k]] for k in range(at))
            found += [before * steps[at][v] for v in range(5) if v != word[at]]
        return found

    assert sum(spelt_out(p)) == pytest.approx(1)
    assert word_distance(p, q, word) == pytest.approx(float(hellinger(spelt_out(p), spelt_out(q))))
    assert word_distance(p[:1], q[:1], word[:1]) == pytest.approx(float(hellinger(p[0], q[0])))
    assert word_distance(p, p, word) == 0
    for tokens in ((), (2, 0)):
        with pytest.raises(ValueError, match=r"word_distance: . tokens for distributions"):
            word_distance(p, q, tokens)


def test_a_word_of_several_tokens_is_read_whole(vlm, monkeypatch):
    """As if "fork on" were one word: its log-probability is of both tokens, and so is its distance."""
    pictures, text = [BATCH[0].image()], "There is a fork on the left."
    monkeypatch.setattr(mentions, "word_end", lambda caption, start: caption.index(" on") + 3)
    (row,) = mention_rows(vlm, pictures, None, PROMPT, [text], [["fork"]], pocket_vocabulary(), NAMING)
    (ids, seen), (_, blind) = (
        next(models.answer_distributions(vlm, shown, [PROMPT], [text])) for shown in (pictures, None)
    )
    p, q = (table[3:5].double().softmax(-1).numpy() for table in (seen, blind))
    assert vlm.processor.tokenizer.decode(ids[3:5]).strip() == "fork on"
    assert row.logp == pytest.approx(float(seen[3, ids[3]] + seen[4, ids[4]]), abs=1e-5)
    assert row.distance == pytest.approx(word_distance(p, q, ids[3:5].tolist()))
    assert row.distance > float(hellinger(p[0], q[0]))
