"""What is computed exactly is drawn where it is."""

from povid_lib.figures import policies


def test_frontier_and_recovery_show_what_they_are_given():
    fig = policies.frontier([(0, 1), (1, 2)], {"b": (1, 2)}, {"other": (1, 1)}, [(0.5, 0.5), (2, 0.1)], "x", "y")
    cloud, curve, *points = (list(zip(*line.get_data(), strict=True)) for line in fig.axes[0].lines)
    assert (cloud, curve, points) == ([(0.5, 0.5), (2, 0.1)], [(0, 1), (1, 2)], [[(1, 2)], [(1, 1)]])
    assert [t.get_text() for t in fig.axes[0].texts] == ["b", "other"]
    found = {"few": ([0.5, 2.5, 0.0], [0.9, 0.1, 0.0]), "many": ([1, 2, 3], [0.5, 0.4, 0.1])}
    fig = policies.recovered([1, 2, 3], found, "true", "found", "never drawn")
    few, many = (ax.collections[0] for ax in fig.axes)
    assert few.get_offsets().tolist() == [[1, 0.5], [2, 2.5]]
    assert few.get_sizes()[0] > few.get_sizes()[1]
    assert many.get_offsets().tolist() == [[1, 1], [2, 2], [3, 3]]
    assert [ax.lines[1].get_xydata().tolist() for ax in fig.axes] == [[[3, 0]], []]


def test_answer_bars_tell_false_from_true():
    fig = policies.answer_bars(["A cup.", "A fork."], [False, True], {"model": [0.7, 0.2]}, "x")
    (ax,) = fig.axes
    assert [round(bar.get_width(), 2) for bar in ax.patches] == [0.7, 0.2]
    assert len({bar.get_facecolor() for bar in ax.patches}) == 2
    assert [t.get_text() for t in ax.get_yticklabels()] == ["A cup.  true", "A fork.  false"]
    fig = policies.answer_bars(["A cup."], [False], {"one": [0.7], "two": [0.2]}, "x")
    assert [round(bar.get_width(), 2) for bar in fig.axes[0].patches] == [0.7, 0.2]
    assert [t.get_text() for t in fig.axes[0].get_legend().get_texts()] == ["one", "two"]
