"""The Score widget's captions: what its button calls the truth is true, whole, and in the wording of the scene's world."""

from povid_lib.widgets.score import score_spec
from povid_lib.world.captions import mentioned
from povid_lib.world.forms import form_of
from povid_lib.world.judge import judge_description
from povid_lib.world.scenes import scenes
from povid_lib.world.worlds import world


def test_the_truth_names_all_and_only_what_is_there_in_the_words_of_its_edition():
    batch = list(scenes(12, world(), "validation"))
    rows = score_spec(batch, ["x"] * 12, ["A cup."] * 12)["scenes"]
    for scene, row in zip(batch, rows, strict=True):
        assert set(mentioned(row["truth"])) == set(row["names"]) == set(scene.names)
        verdict = judge_description(scene, row["truth"])
        assert not verdict.false
        assert not verdict.unreadable
    firsts = [form_of(row["truth"].split(".")[0]) for row in rows]
    assert firsts.count("There") < 6  # four in five in the first edition's wording
