"""The files that `povid pocket export` writes for the page, read back."""

import json

from safetensors import safe_open

from povid_lib.pocket import export


def read_back(path):
    """The tensors as the engine restores them, by name, and what the header says besides."""
    with safe_open(path, "pt") as file:
        found, meta = {name: file.get_tensor(name) for name in file.keys()}, json.loads(file.metadata()["povid"])  # noqa: SIM118
    whole = {
        name: export.restored(tensor, found[f"{name}.scale"], found.get(f"{name}.fine"))
        if f"{name}.scale" in found
        else tensor
        for name, tensor in found.items()
        if not name.endswith((".scale", ".fine"))
    }
    return whole, meta
