"""Draw the README's picture, four scenes and what the pocket model says about them, and the one of the front door."""

from pathlib import Path

from povid_lib import models
from povid_lib.evaluation.held_out import held_out
from povid_lib.figures.scenes import captioned
from povid_lib.world.captions import PROMPT
from povid_lib.world.scenes import Scene

BOOK = Path(__file__).resolve().parent.parent / "book"


def front() -> Scene:
    """The scene of the front door: a key by itself, beside which the model names a lock."""
    return next(
        scene for scene in held_out("typical", 40, "validation") if scene.names == ("key",) and not scene.unseen
    )


def main() -> None:
    front().image().save(BOOK / "front.png")
    chosen = [scene for scene in held_out("typical", 40) if scene.missing_partners and len(scene.names) > 1][:4]
    answers = models.generate(models.load("pocket"), [scene.image() for scene in chosen], PROMPT)
    titles = [f"in it: {', '.join(scene.names)}" for scene in chosen]
    figure = captioned(chosen, [answer.text for answer in answers], titles, columns=4)
    figure.savefig(BOOK / "pocket_says.png", dpi=110)


if __name__ == "__main__":
    main()
