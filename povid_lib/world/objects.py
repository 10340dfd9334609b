"""The 48 kinds of object of the pocket world: their names, glyphs, contexts and partners."""

from __future__ import annotations

from dataclasses import dataclass

# context: object, glyph (hex code point), plural ("-": never counted), "c" if it can be recoloured;
# consecutive rows are partners, and `STRENGTHS` gives P(partner | object) for the four pairs in turn.
STRENGTHS = (0.9, 0.8, 0.65, 0.5)
_TABLE = """
table:  fork 1F374 forks | knife 1F52A knives | teapot 1FAD6 teapots | cup 2615 cups
        bread 1F35E - | butter 1F9C8 - | apple 1F34E apples c | cheese 1F9C0 -
street: scooter 1F6F5 scooters c | helmet 26D1 helmets c | bus 1F68C buses c | taxi 1F695 taxis
        car 1F697 cars c | sign 1F6D1 signs | train 1F686 trains | suitcase 1F9F3 suitcases
farm:   cow 1F404 cows | tractor 1F69C tractors | sheep 1F411 sheep | dog 1F415 dogs
        rabbit 1F407 rabbits | carrot 1F955 carrots | rooster 1F413 roosters | pig 1F416 pigs
sea:    boat 26F5 boats | anchor 2693 anchors | crab 1F980 crabs | shell 1F41A shells
        fish 1F41F fish c | octopus 1F419 octopuses | whale 1F433 whales | penguin 1F427 penguins
office: laptop 1F4BB laptops | mouse 1F5B1 mice | lock 1F512 locks c | key 1F511 keys
        pencil 270F pencils | book 1F4D5 books c | lamp 1F4A1 lamps | clock 23F0 clocks
party:  cake 1F382 cakes | candle 1F56F candles | balloon 1F388 balloons c | gift 1F381 gifts c
        guitar 1F3B8 guitars c | drum 1F941 drums | hat 1F3A9 hats | umbrella 2602 umbrellas c
"""


@dataclass(frozen=True)
class Kind:
    """One category of object: how it is named, drawn and accompanied."""

    name: str
    plural: str | None  # None: always one of it
    glyph: str
    context: str
    partner: str
    strength: float  # P(partner in the scene | this object in the scene) in the unchanged world
    recolourable: bool


def _read_kinds() -> dict[str, Kind]:
    kinds: dict[str, Kind] = {}
    for block in _TABLE.replace("\n        ", " | ").strip().splitlines():
        context, rows = block.split(":", 1)
        entries = [row.split() for row in rows.split("|")]
        for i, (name, code, plural, *flags) in enumerate(entries):
            kinds[name] = Kind(
                name=name,
                plural=None if plural == "-" else plural,
                glyph=chr(int(code, 16)),
                context=context,
                partner=entries[i ^ 1][0],
                strength=STRENGTHS[i // 2],
                recolourable="c" in flags,
            )
    return kinds


KINDS = _read_kinds()
NAMES = tuple(KINDS)
CONTEXTS = tuple(dict.fromkeys(kind.context for kind in KINDS.values()))
PAIRS = {
    context: [
        (k.name, k.partner) for i, k in enumerate(v for v in KINDS.values() if v.context == context) if i % 2 == 0
    ]
    for context in CONTEXTS
}
