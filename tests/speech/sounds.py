"""Pairs of words, labelled by ear: those that sound alike, and those that do not."""

from __future__ import annotations

ALIKE = """
there their, right write, too two, for four, ate eight, won one, see sea, no know, here hear, by buy, where wear,
whether weather, piece peace, meat meet, leo theo, fifty fifteen, thirty thirteen, sixty sixteen, line nine, fine five,
eleven seven, male mail, knight night, flower flour, serial cereal, principle principal, effect affect, except accept,
than then, walk work, sheep ship, beat bit, pen pan, bed bad, dessert desert, advise advice, quiet quite, loose lose,
collar color, pair pear, son sun, steel steal, break brake, plain plane, aloud allowed, aisle isle, base bass,
sell cell, scent cent, dye die, fare fair, great grate, whole hole, knows nose, pale pail, reign rain, rode road,
sale sail, tale tail, week weak, would wood, berry bury, pallet palette, self shelf, crate great, odor order,
robbing robin, steven stephen, kathryn catherine, john jon, shawn sean, phillip philip, whiskey whisky, grey gray,
tomato tomatoes, scan scanner, books box, been bin, table label, label labels, lane line, oil aisle, to too, ville vill
"""
DIFFERENT = """
cat house, seven four, red pallet, order red, the cat, zero nine, three eight, one six, box aisle, shelf truck,
monday green, apple train, water mountain, doctor window, please number, hello morning, car phone, book river,
chair yellow, music table, paper stone, coffee garden, bridge summer, pencil orange, winter dog, school happy,
money tree, friend glass, city bird, kitchen rock, storm cake, plate king, forest lamp, engine sugar, bottle grass,
dinner cloud, brother snake, market silver, candle bread, travel north, pick stow, count ship, five two, six three,
nine four, zero eight, one five, and the, a of, is was, in on, to of, he she, and an, from with, left right, up down,
open close, start stop, green blue, north south, east west, yes no, big small, hot cold, day night, man woman, boy girl
"""


def pairs(text: str) -> list[tuple[str, str]]:
    """The pairs in one of the lists."""
    return [(pair.split()[0], pair.split()[1]) for pair in text.replace("\n", " ").split(",")]
