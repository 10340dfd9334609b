"""Your own photographs: an album of pictures with what is known to be in them, and what a model says of them.

A step is a call: ``read`` (or ``of_scenes``), ``describe``, ``score``, ``questions``, ``answer``, ``look``. Works with every LLaVA
of the 1.5 family.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor

from povid_lib import models
from povid_lib.analysis import attention, occlusion
from povid_lib.data import images
from povid_lib.evaluation.answers import ENDINGS, find_pictures
from povid_lib.metrics import files
from povid_lib.metrics.chair import CaptionScore, score_caption
from povid_lib.metrics.pope import YES_NO_HINT, Pope, PopeQuestion, build_questions, by_image, draw_present, pope
from povid_lib.metrics.vocabulary import Vocabulary
from povid_lib.models.llava import VLM
from povid_lib.world.captions import PROMPT
from povid_lib.world.scenes import Scene

TRUTHS = ("objects.json", "instances.json")  # what is looked for in an album's folder, in this order
_SHOWN = 10  # faults that an error names


@dataclass(frozen=True)
class Photo:
    """A picture of an album. ``objects``: what is known to be in it; None where nobody has said."""

    name: str
    image: Image.Image
    objects: tuple[str, ...] | None


def read(
    folder: str | Path, vocabulary: Vocabulary, truth: str | Path | None = None, most: int | None = None
) -> list[Photo]:
    """The pictures of a folder, by name, at most so many, upright and RGB (see ``images.open_picture``).

    ``truth``: COCO's instances, or a JSON object picture -> list of its objects; pictures may be named by their files or by their
    ids. Default: one of ``TRUTHS`` in the folder, if there is one. What it says of other pictures is left out. ``vocabulary``: the objects that can be named.

    Raises ``ValueError`` for a folder without pictures, with all pictures that cannot be read, with the faults of a truth, and for
    a truth that is of none of the pictures.
    """
    folder = Path(folder)
    names = sorted(p.name for p in folder.iterdir() if p.suffix.lower() in ENDINGS) if folder.is_dir() else []
    if not names:
        raise ValueError(f"{str(folder)!r} holds no pictures ({', '.join(ENDINGS)}); name the folder that they are in.")
    if most is not None and most < 1:
        raise ValueError(f"photos.read: most is {most}; ask for one picture or more.")
    beside = next((folder / name for name in TRUTHS if (folder / name).is_file()), None)
    known = _known(Path(truth) if truth is not None else beside, vocabulary, folder, names)
    found, broken = list[Photo](), list[str]()
    for name in names[:most]:
        try:
            found.append(Photo(name, images.open_picture(folder / name).image, known.get(name)))
        except ValueError as error:
            broken.append(str(error))
    if broken:
        more = ", ..." if len(broken) > _SHOWN else ""
        raise ValueError(f"{folder}: {len(broken)} pictures cannot be read: {'; '.join(broken[:_SHOWN])}{more}.")
    return found


def _known(
    truth: Path | None, vocabulary: Vocabulary, folder: Path, names: Sequence[str]
) -> dict[str, tuple[str, ...]]:
    """Name of a picture's file -> its objects, from a truth of either kind."""
    if truth is None:
        return {}
    if files.holds_coco(truth):
        table, called = files.read_coco_truth(truth, None, vocabulary), _file_names(truth)
    else:
        table, called = files.read_truth(truth, vocabulary), {}
    known: dict[str, tuple[str, ...]] = {}
    for image, objects in table.items():
        name = called.get(image, image)
        if name not in names:
            name = _in_folder(folder, image)
        if name in names:
            known[name] = objects
    if not known:
        first = next(iter(table))
        raise ValueError(
            f"{truth} says nothing of the {len(names)} pictures in {folder}: it names {first!r}, and there is {names[0]!r}; name "
            "the pictures in it as their files are named."
        )
    return known


def _file_names(instances: Path) -> dict[str, str]:
    """COCO's image id -> its file's name, without folders, where the table says it."""
    rows = json.loads(instances.read_text(encoding="utf-8-sig"))["images"]
    return {str(row["id"]): Path(row["file_name"]).name for row in rows if isinstance(row.get("file_name"), str)}


def _in_folder(folder: Path, image: str) -> str:
    """The file that an id means; "" if there is none, or two."""
    try:
        return find_pictures(folder, [image])[image]
    except ValueError:  # of another picture than these
        return ""


def of_scenes(scenes: Sequence[Scene]) -> list[Photo]:
    """Drawn scenes as an album, for the pocket model: all that is in them is known."""
    return [Photo(images.name_of(scene), scene.image(), scene.names) for scene in scenes]


def describe(vlm: VLM, album: Sequence[Photo], prompt: str = PROMPT, tokens: int = 128) -> list[str]:
    """What the model says about each picture, in at most so many tokens."""
    return [a.text for a in models.generate(vlm, [p.image for p in album], prompt, max_new_tokens=tokens)]


def score(album: Sequence[Photo], texts: Sequence[str], vocabulary: Vocabulary) -> list[CaptionScore]:
    """CHAIR's score of each caption whose picture has known objects.

    Raises ``ValueError`` if pictures and texts differ in number.
    """
    return [
        score_caption(text, photo.objects, vocabulary.mentioned)
        for photo, text in zip(album, texts, strict=True)
        if photo.objects is not None
    ]


def questions(album: Sequence[Photo], setting: str = "adversarial", n: int = 3, seed: int = 0) -> list[PopeQuestion]:
    """POPE's questions from the album's own objects: about up to ``n`` of each picture's, and as many that it lacks.

    Raises ``ValueError`` as ``build_questions`` does, and for an album of which nothing is known, or in which no picture lacks
    what another has.
    """
    truth = {photo.name: photo.objects for photo in album if photo.objects}
    if not truth:
        raise ValueError(
            f"None of the {len(album)} pictures has known objects, so nothing can be asked; put {' or '.join(TRUTHS)} beside them."
        )
    found = build_questions(truth, setting, draw_present(truth, n, seed), seed)
    if not found:
        raise ValueError(
            "All pictures have the same objects, so there is none to ask about that is not there; add other pictures."
        )
    return found


def answer(vlm: VLM, album: Sequence[Photo], asked: Sequence[PopeQuestion]) -> dict[str, str]:
    """Id of a question -> the model's answer; a model that is not the pocket one is asked with LLaVA's hint for a short answer."""
    shown = {photo.name: photo.image for photo in album}
    hint = "" if vlm.is_pocket else f"\n{YES_NO_HINT}"
    said = models.generate(vlm, [shown[q.image] for q in asked], [q.text + hint for q in asked], max_new_tokens=16)
    return {q.question_id: a.text for q, a in zip(asked, said, strict=True)}


def polled(asked: Sequence[PopeQuestion], answers: Mapping[str, str]) -> Pope:
    """POPE's measures of the answers. Raises as ``by_image`` does."""
    return pope(*by_image(asked, answers))


def seen(vlm: VLM, image: Image.Image) -> Image.Image:
    """The picture as the model's eyes get it: scaled, and cut to a square if its processor does that."""
    tools = vlm.processor.image_processor
    pixels = np.asarray(tools([image], return_tensors="pt")["pixel_values"][0], dtype=np.float64)
    mean, spread = (np.asarray(v, dtype=np.float64)[:, None, None] for v in (tools.image_mean, tools.image_std))
    return Image.fromarray(((pixels * spread + mean) * 255).round().clip(0, 255).astype(np.uint8).transpose(1, 2, 0))


def look(
    vlm: VLM, image: Image.Image, text: str, word: str, question: str = PROMPT, window: int | None = None
) -> dict[str, Tensor]:
    """Two maps over what the model ``seen`` for a word of its answer, each float32 (side, side): its raw "attention", and by
    "occlusion" how many nats the word loses where squares of ``window`` x ``window`` patches are hidden (default: a sixth of the
    side, so that a pass for each of (side - window + 1) squared places stays what a page can do).

    Raises ``ValueError`` as ``attention.word_map`` and ``occlusion.occlusion_map`` do.
    """
    wide = window if window is not None else max(1, vlm.side // 6)
    return {
        "attention": attention.word_map(vlm, image, question, text, word),
        "occlusion": occlusion.occlusion_map(vlm, image, question, text, word, window=wide),
    }
