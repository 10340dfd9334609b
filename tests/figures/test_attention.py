"""Maps are darkest where they are largest, and runs stand where their numbers say."""

import pytest
import torch
from matplotlib.colors import to_rgba
from PIL import Image

from povid_lib.figures import attention
from povid_lib.figures.style import BLUE, RED


def test_a_map_is_darkest_where_it_is_largest_and_frames_what_is_owned():
    values = torch.tensor([[0.02, 0.4], [0.2, -1.0]])
    fig = attention.maps_over(
        Image.new("RGB", (32, 32)), {"map": values}, torch.tensor([[False, True], [False, False]])
    )
    ax = fig.axes[1]
    filled = [p for p in ax.patches if p.get_linewidth() == 0]
    assert [p.get_facecolor()[3] for p in filled] == pytest.approx([0.04, 0.8, 0.4, 0])
    assert all(p.get_facecolor()[:3] == to_rgba(RED)[:3] for p in filled)
    assert [t.get_text() for t in ax.texts] == [".40", ".20"]
    (frame,) = [p for p in ax.patches if p.get_linewidth() == 1]
    assert frame.get_xy() == (15.5, -0.5)
    assert frame.get_edgecolor() == to_rgba(BLUE)


def test_a_common_scale_lets_maps_be_compared():
    maps = {"one": torch.full((2, 2), 0.1), "two": torch.full((2, 2), 0.2)}
    fig = attention.maps_over(Image.new("RGB", (32, 32)), maps, largest=0.4)
    assert [ax.patches[0].get_facecolor()[3] for ax in fig.axes[1:3]] == pytest.approx([0.2, 0.4])


def test_layers_and_heads_are_written_out():
    fig = attention.layers_and_heads(torch.tensor([[0.25, 0.75, 0.5]]), "shares")
    assert [t.get_text() for t in fig.axes[0].texts] == [".25", ".75", ".50"]
    assert [t.get_text() for t in fig.axes[0].get_xticklabels()] == ["1", "2", "3"]
