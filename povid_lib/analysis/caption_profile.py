"""Where in a caption its false objects stand, and which cause they have: what the second edition of the world must show."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from povid_lib.world.captions import WORDS
from povid_lib.world.drawing import COLOURS
from povid_lib.world.forms import form_of
from povid_lib.world.items import POSITIONS
from povid_lib.world.judge import judge_description, read_claims
from povid_lib.world.objects import KINDS
from povid_lib.world.scenes import Scene
from povid_lib.world.worlds import usual_colour, usual_row

Counts = tuple[float, float]  # of one caption: numerator, denominator


def named_at(text: str) -> list[tuple[str, float]]:
    """Each object word of a caption with its place: the number of its word over the number of words."""
    words = text.split()
    found = ((re.sub(r"[^a-z]", "", word.lower()), (at + 1) / len(words)) for at, word in enumerate(words))
    return [(WORDS[word], place) for word, place in found if word in WORDS]


def recall_seen(scene: Scene, text: str) -> Counts:
    """Named among the true objects that can be made out."""
    named = {name for name, _ in named_at(text)}
    return len(named & set(scene.seen)), len(scene.seen)


def recall_unseen(scene: Scene, text: str) -> Counts:
    """Named among the true objects that cannot: guesses that were right."""
    named = {name for name, _ in named_at(text)}
    return len(named & set(scene.unseen)), len(scene.unseen)


def chair_s(scene: Scene, text: str) -> Counts:
    """Captions with a false object."""
    return float(any(name not in scene.names for name, _ in named_at(text))), 1


def chair_i(scene: Scene, text: str) -> Counts:
    """Mentions of false objects among all mentions of objects."""
    named = [name for name, _ in named_at(text)]
    return sum(name not in scene.names for name in named), len(named)


def words(scene: Scene, text: str) -> Counts:
    """Words a caption."""
    return len(text.split()), 1


def partners(scene: Scene, text: str) -> Counts:
    """Missing partners among the false objects."""
    false = _false(scene, text)
    return len(false & set(scene.missing_partners)), len(false)


def followed(scene: Scene, text: str) -> Counts:
    """False objects, by first mention, that are followed by any true mention."""
    named, false = named_at(text), _false(scene, text)
    first = {name: at for at, (name, _) in reversed(list(enumerate(named)))}
    return sum(any(name in scene.names for name, _ in named[first[f] + 1 :]) for f in false), len(false)


def followed_new(scene: Scene, text: str) -> Counts:
    """False objects that are followed by a true one not named before."""
    named, false = named_at(text), _false(scene, text)
    first = {name: at for at, (name, _) in reversed(list(enumerate(named)))}
    return sum(any(at > first[f] for name, at in first.items() if name in scene.names) for f in false), len(false)


def place_false(scene: Scene, text: str) -> Counts:
    """Sum of the relative places of first mentions of false objects, and their number."""
    return _places(text, lambda name: name not in scene.names)


def place_true(scene: Scene, text: str) -> Counts:
    """Sum of the relative places of first mentions of true objects, and their number."""
    return _places(text, lambda name: name in scene.names)


def in_place(scene: Scene, text: str) -> Counts:
    """False objects that stand in the place of a true one: said to lie where an object lies that is not named."""
    named, false = {name for name, _ in named_at(text)}, _false(scene, text)
    open_cells = {POSITIONS[c] for item in scene.items if item.name not in named for c in item.cells}
    unnamed = {item.name for item in scene.items if item.name not in named}
    said = {c.subject: c.value for c in read_claims(text)[0] if c.kind == "position"}
    stands = [f for f in false if said.get(f) in open_cells or (f not in said and KINDS[f].partner in unnamed)]
    return len(stands), len(false)


def called(scene: Scene, text: str) -> Counts:
    """False objects whose companion is in the scene and not named: it was called its partner."""
    named, false = {name for name, _ in named_at(text)}, _false(scene, text)
    return sum(KINDS[f].partner in scene.names and KINDS[f].partner not in named for f in false), len(false)


def false_colour(scene: Scene, text: str) -> Counts:
    """Wrong colours among all that are said of true objects."""
    return _wrong(scene, text, ("colour",))


def false_attribute(scene: Scene, text: str) -> Counts:
    """Wrong colours, sizes and numbers among all that are said of true objects."""
    return _wrong(scene, text, ("colour", "size", "count"))


def false_relation(scene: Scene, text: str) -> Counts:
    """Wrong positions and relations among all that are said of true objects."""
    return _wrong(scene, text, ("position", "relation"))


def usual_among_false_colours(scene: Scene, text: str) -> Counts:
    """Usual colours among the wrong ones: errors of the prior. A third would be chance."""
    wrong = [c for c in judge_description(scene, text).false if c.kind == "colour" and KINDS[c.subject].recolourable]
    return sum(c.value == usual_colour(c.subject, tuple(COLOURS)) for c in wrong), len(wrong)


def usual_among_false_places(scene: Scene, text: str) -> Counts:
    """Usual rows among the wrong positions: errors of the prior."""
    wrong = [c for c in judge_description(scene, text).false if c.kind == "position"]
    return sum(POSITIONS.index(c.value) // 3 == usual_row(c.subject) for c in wrong), len(wrong)


def unreadable(scene: Scene, text: str) -> Counts:
    """Sentences a caption in which the exact judge finds no claim."""
    return judge_description(scene, text).unreadable, 1


def relations(scene: Scene, text: str) -> Counts:
    """Captions with a relation."""
    return float(any(c.kind == "relation" for c in read_claims(text)[0])), 1


MEASURES: tuple[Callable[[Scene, str], Counts], ...] = (
    chair_s, chair_i, recall_seen, recall_unseen, words, partners, followed, followed_new, place_false, place_true, in_place,
    called, false_colour, false_attribute, false_relation, usual_among_false_colours, usual_among_false_places, relations,
    unreadable,
)  # fmt: skip


def counted(
    measure: Callable[[Scene, str], Counts], batch: Sequence[Scene], texts: Sequence[str]
) -> tuple[list[float], list[float]]:
    """A measure's numerators and denominators, caption by caption. Raises ``ValueError`` if scenes and texts differ in number."""
    rows = [measure(scene, text) for scene, text in zip(batch, texts, strict=True)]
    return [float(over) for over, _ in rows], [float(under) for _, under in rows]


def profile(batch: Sequence[Scene], texts: Sequence[str]) -> dict[str, float]:
    """Every measure over all captions (nan where nothing counts), and the share of sentences of each form."""
    found = {}
    for measure in MEASURES:
        over, under = map(sum, counted(measure, batch, texts))
        found[measure.__name__] = over / under if under else float("nan")
    sentences = [form_of(s.strip()) for text in texts for s in text.split(".") if s.strip()]
    return found | {f"form: {form}": sentences.count(form) / len(sentences) for form in sorted(set(sentences))}


def _false(scene: Scene, text: str) -> set[str]:
    return {name for name, _ in named_at(text) if name not in scene.names}


def _places(text: str, wanted: Callable[[str], bool]) -> Counts:
    first = dict(reversed(named_at(text)))
    places = [place for name, place in first.items() if wanted(name)]
    return sum(places), len(places)


def _wrong(scene: Scene, text: str, kinds: tuple[str, ...]) -> Counts:
    verdict = judge_description(scene, text)
    false = sum(c.kind in kinds for c in verdict.false)
    return false, false + sum(c.kind in kinds for c in verdict.true)
