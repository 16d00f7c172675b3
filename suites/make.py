#!/usr/bin/env python3
"""Makes the items of the suites in this folder; `--check` says whether they are what it makes.

All texts are the project's own. What is drawn is drawn from fixed seeds, so the same bytes come out everywhere; a change of items
is another suite: count its version up.
"""

import hashlib
import itertools
import json
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent


class Draw:
    """Numbers from a hash: the same in every version of the language."""

    def __init__(self, name):
        self.name, self.count = name, 0

    def below(self, bound):
        self.count += 1
        digest = hashlib.sha256(f"{self.name}/{self.count}".encode()).digest()
        return int.from_bytes(digest[:8], "big") * bound >> 64

    def between(self, low, high):
        return low + self.below(high - low + 1)

    def one(self, items):
        return items[self.below(len(items))]

    def shuffled(self, items):
        rest, out = list(items), []
        while rest:
            out.append(rest.pop(self.below(len(rest))))
        return out


def everyday():
    """Beginnings of sentences, written by hand, with four ends each of which one is right; the order of the ends is drawn."""
    draw = Draw("everyday")
    for number, line in enumerate((HERE / "everyday" / "source.txt").read_text().splitlines(), 1):
        begin, ends = line.split(" | ")
        ends = ends.split(" ; ")
        choices = draw.shuffled(ends)
        yield {"id": f"everyday-{number:03}", "input": begin, "choices": choices, "answer": choices.index(ends[0])}


NAMES = ["Ana", "Bruno", "Clara", "Dario", "Elif", "Farid", "Greta", "Hugo", "Ines", "Jonas", "Kemal", "Lotte"]
THINGS = ["apples", "stamps", "marbles", "pencils", "shells", "coins", "buttons", "stickers"]


def sums(draw):
    """One question and its answer, of each kind in turns, from easy to hard."""
    a, b, c = draw.between(1, 9), draw.between(1, 9), draw.between(2, 9)
    d, e = draw.between(11, 49), draw.between(11, 49)
    name, other, thing = draw.one(NAMES), draw.one(NAMES), draw.one(THINGS)
    step, start = draw.between(2, 6), draw.between(1, 9)
    series = [start + step * place for place in range(5)]
    big, small = max(d, e) + a, min(d, e)
    return [
        (f"What is {a} + {b}?", a + b),
        (f"What is {max(a, b)} - {min(a, b)}?", max(a, b) - min(a, b)),
        (f"What is {a} x {c}?", a * c),
        (f"What is {d} + {e}?", d + e),
        (f"What is {big} - {small}?", big - small),
        (f"{name} has {a + 1} {thing} and finds {b + 1} more. How many {thing} does {name} have now?", a + b + 2),
        (f"{name} has {d} {thing} and gives {c} of them to {other}. How many {thing} does {name} have left?", d - c),
        (f"{name} buys {c} boxes. There are {a + 1} {thing} in each. How many {thing} are that in all?", c * (a + 1)),
        (f"Which number comes next: {', '.join(map(str, series[:4]))}?", series[4]),
        (f"Which number is larger, {big} or {small}?", big),
    ]


def arithmetic():
    draw, seen, number = Draw("arithmetic"), set(), 0
    while True:
        for question, answer in sums(draw):
            if question in seen:
                continue
            seen.add(question)
            number += 1
            yield {"id": f"arithmetic-{number:03}", "input": question, "answer": str(answer)}


TOWNS = ["Arden", "Belmora", "Corvale", "Dunmere", "Elsholt", "Farrow Bay", "Glimmen", "Harthope", "Istrand", "Jorvik Mill"]
STREETS = ["Mill Street", "Canal Road", "the old market", "Station Square", "Bridge Lane"]
# What a passage says, and a question for it in other words; {place} and {day} are drawn.
FACTS = [
    ("The library of {town}, in {place}, lends not only books but also drills, tents and sewing machines.", "Where can I borrow a power tool for a weekend in {town}?"),
    ("Every {day} morning fishermen sell what they caught in the night at {place} in {town}.", "I want to buy fresh seafood in {town}. When and where?"),
    ("The night bus of {town} leaves {place} at half past one and stops at every hotel.", "How do I get back to my room late in {town} without a taxi?"),
    ("A doctor without appointments sees patients in {place}, {town}, until ten in the evening, but not on {day}.", "My child has a fever and it is eight in the evening in {town}. Who can help?"),
    ("In {town} dogs have to be on a leash everywhere except in the meadow behind {place}.", "Where may my pet run free in {town}?"),
    ("{town} collects old batteries, paint and lamps at {place} on the first {day} of each month.", "How do I get rid of hazardous waste in {town}?"),
    ("The bell tower of {town} near {place} can be climbed; from its top one sees the sea on clear days.", "Is there a good view over the surroundings of {town}?"),
    ("The swimming pool of {town} belongs to swimmers above sixty on {day} afternoons; it is next to {place}.", "When do seniors have the water to themselves in {town}?"),
    ("Bicycles are repaired for free by volunteers in a shed at {place} in {town}, every {day}.", "My chain broke in {town} and I have no money for a shop."),
    ("A choir without auditions practises in the cellar of {place} in {town} each {day}; beginners are welcome.", "I would like to sing with others in {town} although I have never done it."),
]
DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"]


def towns():
    """Each fact of each town: a passage has nine others about its town and nine that say the same of other towns."""
    draw, number = Draw("towns"), 0
    for town in TOWNS:
        for passage, question in FACTS:
            number += 1
            drawn = {"town": town, "place": draw.one(STREETS), "day": draw.one(DAYS)}
            yield {"id": f"towns-{number:03}", "input": question.format(**drawn), "passage": passage.format(**drawn)}


def exactly(**fields):
    """A schema of an object with just these fields and values."""
    properties = {name: {"const": value} for name, value in fields.items()}
    return {"type": "object", "properties": properties, "required": list(fields), "additionalProperties": False}


def forms():
    draw, seen, number = Draw("forms"), set(), 0
    while True:
        name, age, city = draw.one(NAMES), draw.between(18, 80), draw.one(["Lisbon", "Oslo", "Porto", "Vienna", "Turin", "Ghent"])
        thing, count, price = draw.one(THINGS), draw.between(2, 40), draw.between(1, 90)
        likes = draw.shuffled(["tea", "chess", "rain", "maps", "jazz"])[:2]
        asked = [
            (f"{name} is {age} years old.", '"name" (text) and "age" (number)', exactly(name=name, age=age)),
            (f"{name} lives in {city}.", '"name" (text) and "city" (text)', exactly(name=name, city=city)),
            (f"The shop has {count} {thing} for {price} euros.", '"thing" (text), "count" (number) and "euros" (number)', exactly(thing=thing, count=count, euros=price)),
            (f"{name} likes {likes[0]} and {likes[1]}.", '"name" (text) and "likes" (list of texts)', exactly(name=name, likes=likes)),
            (f"{name} is {age} years old and lives in {city}.", '"name" (text), "age" (number) and "city" (text)', exactly(name=name, age=age, city=city)),
        ]
        for fact, fields, schema in asked:
            if fact in seen:
                continue
            seen.add(fact)
            number += 1
            yield {"id": f"forms-{number:03}", "input": f"{fact} Write this as a JSON object with the fields {fields}.", "schema": schema}


def main():
    stale = []
    for make, count in ((everyday, None), (arithmetic, 120), (towns, None), (forms, 60)):
        path = HERE / make.__name__ / "items.jsonl"
        items = itertools.islice(make(), count)
        text = "".join(json.dumps(item, ensure_ascii=False) + "\n" for item in items)
        if "--check" not in sys.argv[1:]:
            path.write_text(text)
        elif not path.is_file() or path.read_text() != text:
            stale.append(str(path))
    if stale:
        print("not what this script makes: " + ", ".join(stale), file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
