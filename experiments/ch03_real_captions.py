"""Chapter 03: where the false words of real captions stand, and what they go together with. Writes ``results/real_captions.json``.

Reads captions of real models and COCO's truth from the folder that POVID_REFERENCE names: ``captions/llava15_greedy.jsonl``,
``captions/instructblip_greedy.jsonl``, ``chair/synonyms.txt`` and ``chair/coco_gt_objects.json.gz``. Only aggregates are
written. Run it from the top folder: ``POVID_REFERENCE=... python experiments/ch03_real_captions.py``.
"""

from __future__ import annotations

import gzip
import json
import os
import time
from pathlib import Path

from povid_lib.analysis.factors import captions_naming, rate_by_decile, rate_by_quantile
from povid_lib.analysis.mentions import caption_rows
from povid_lib.files import results
from povid_lib.metrics.chair import chair, score_captions
from povid_lib.metrics.vocabulary import read_vocabulary


def main() -> None:
    start, reference = time.time(), Path(os.environ["POVID_REFERENCE"])
    words = read_vocabulary(reference / "chair" / "synonyms.txt")
    with gzip.open(reference / "chair" / "coco_gt_objects.json.gz", "rt") as file:
        coco = json.load(file)
    truth = {image: [coco["categories"][i] for i in objects] for image, objects in coco["images"].items()}
    data = {}
    for key in ("llava15", "instructblip"):
        lines = (reference / "captions" / f"{key}_greedy.jsonl").read_text().splitlines()
        captions = {str(row["image_id"]): row["caption"] for row in map(json.loads, lines)}
        # what goes together is counted on images that are not being described
        naming = captions_naming([names for image, names in truth.items() if image not in captions])
        rows = [
            row
            for image, caption in captions.items()
            for row in caption_rows(image, caption, truth[image], words, naming)
        ]
        data[key] = {
            "chair": chair(score_captions(captions, truth, words.mentioned)),
            "deciles": rate_by_decile(rows),
            "cooccurrence": [rate for _, rate in rate_by_quantile(rows, "cooccurrence", 5)],
        }
        print(key, data[key])
    print(
        results.save(
            "real_captions",
            data,
            {"vocabulary": "synonyms.txt", "lemmatiser": "pattern"},
            time.time() - start,
            code=[__file__],
        )
    )


if __name__ == "__main__":
    main()
