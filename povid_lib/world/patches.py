"""The patches of a scene's picture: what owns each, and in which an object can be seen."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from povid_lib.world.drawing import COLOURS, SIZES
from povid_lib.world.items import SIDE
from povid_lib.world.objects import NAMES
from povid_lib.world.scenes import Scene, draw

PATCH = 16
IGNORE = -100  # a label that cross-entropy skips


def patch_labels(scene: Scene, owner: np.ndarray) -> dict[str, np.ndarray]:
    """For each of the 36 patches, int64: kind (0: background), colour (0: none), size, count and cell of what owns most of it.

    Patches of which an object covers fewer than 20 of 256 pixels are ignored (-100), as is all but the kind of background and
    the cell of objects that are there more than once.
    """
    side = owner.shape[0] // PATCH
    tiles = owner.reshape(side, PATCH, side, PATCH).swapaxes(1, 2).reshape(side * side, -1)
    areas = np.stack([(tiles == i).sum(1) for i in range(len(scene.items))], 1)
    best, area = areas.argmax(1), areas.max(1)
    kinds = np.array([NAMES.index(item.name) + 1 for item in scene.items])
    colours = np.array([tuple(COLOURS).index(item.colour) + 1 if item.colour else 0 for item in scene.items])
    sizes = np.array([tuple(SIZES).index(item.size) for item in scene.items])
    counts = np.array([item.count - 1 for item in scene.items])
    cells = np.array([item.cells[0] if item.count == 1 else IGNORE for item in scene.items])
    held = area >= 20
    return {
        "kind": np.where(held, kinds[best], np.where(area == 0, 0, IGNORE)),
        "colour": np.where(held, colours[best], IGNORE),
        "size": np.where(held, sizes[best], IGNORE),
        "count": np.where(held, counts[best], IGNORE),
        "cell": np.where(held, cells[best], IGNORE),
    }


def own_patches(scene: Scene, name: str) -> Tensor:
    """The patches in which any of an object can be seen: bool (6, 6), rows from the top. Without them it is gone."""
    side = SIDE // PATCH
    seen = draw(scene)[1] == scene.names.index(name)
    return torch.from_numpy(seen.reshape(side, PATCH, side, PATCH).any((1, 3)))
