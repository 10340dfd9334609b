"""Draw the README's picture: four held-out scenes and what the pocket model says about them."""

import re
import textwrap
from pathlib import Path

from povid_lib import models
from povid_lib.figures import scenes as world_scenes
from povid_lib.world.captions import WORDS
from povid_lib.world.scenes import scenes
from povid_lib.world.worlds import World

chosen = [s for s in scenes(40, World(), "test") if s.missing_partners][:4]
model = models.load("pocket")
titles = []
for scene, answer in zip(
    chosen, models.generate(model, [s.image() for s in chosen], "Describe this image."), strict=True
):
    names = scene.names
    words = re.split(r"([a-z]+)", answer.text)
    said = "".join(word.upper() if WORDS.get(word, names[0]) not in names else word for word in words)
    titles.append(textwrap.fill(f"“{said}”", 36))
figure = world_scenes.show_scenes([s.image() for s in chosen], titles)
figure.savefig(Path(__file__).parent.parent / "book" / "pocket_says.png", dpi=130)
