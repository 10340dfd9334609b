"""Nouns that nothing supports, by hand."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from povid_lib.metrics.open_vocabulary import FRAME_WORDS, content_nouns, score_nouns
from povid_lib.metrics.vocabulary import coco_vocabulary

COCO = coco_vocabulary()
CAPTION = "The image shows a woman in riding boots and a red jacket, standing near her horses on the left side. The horses drink."
HUMAN = ["A lady in a jacket with two horses.", "Two horses by a fence."]


def test_content_nouns_by_hand():
    assert content_nouns(CAPTION) == ["woman", "boot", "jacket", "horse", "horse"]
    assert content_nouns("") == []


def test_boots_that_nobody_mentions_are_found_though_they_are_no_category():
    assert COCO.mentioned("riding boots") == []
    got = score_nouns(CAPTION, HUMAN, ["person", "horse"], COCO)
    assert got.unsupported == ("boot",)
    assert len(got.nouns) == 5


def test_support_comes_from_texts_from_objects_and_from_synonyms_of_either():
    assert score_nouns("A woman.", ["A lady."], [], COCO).unsupported == ()  # both are the category person
    assert score_nouns("A sofa and a hot dog.", [], ["couch", "hot dog"], COCO).unsupported == ()
    assert score_nouns("A sofa and a fence.", [], ["hot dog"], COCO).unsupported == ("sofa", "fence")
    assert score_nouns("Two fences.", HUMAN, [], COCO).unsupported == ()


def test_nothing_to_hold_a_caption_against_is_an_error():
    with pytest.raises(ValueError, match="no text and no object"):
        score_nouns("A dog.", [], [], COCO)


WORDS = st.lists(st.sampled_from(["dog", "fence", "boots", "image", "sky", "horses"]), max_size=5)


@settings(max_examples=30, deadline=None)
@given(WORDS, WORDS)
def test_a_text_supports_itself_and_more_text_never_supports_less(said, known):
    caption, text = (" ".join(f"There is the {word}." for word in words) for words in (said, known))
    assert score_nouns(caption, [caption], [], COCO).unsupported == ()
    fewer, more = score_nouns(caption, [text], [], COCO), score_nouns(caption, [text, "A fence."], [], COCO)
    assert set(more.unsupported) <= set(fewer.unsupported) <= set(fewer.nouns)
    assert not FRAME_WORDS & set(fewer.nouns)
