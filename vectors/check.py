#!/usr/bin/env python3
"""Recomputes the ledger's vectors from SPEC.md's rules, written a second time in `rules/`.

    check.py            every vector of ledger/*.json: a table, exit status 1 on any mismatch
    check.py --mutate   changes each number and word of every expectation, one at a time and in
                        memory, and demands that each change is noticed
    check.py --json     the table as JSON

Nothing is skipped: a file or key that is not understood fails, and so do an operation without a
valid vector and a file with fewer than five invalid vectors for each valid one.
"""

from __future__ import annotations

import argparse
import copy
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rules import blocks, governance, transactions
from rules.schema import FILE, OPERATIONS, PARAMETER_FILE, Malformed
from rules.state import Ledger, changes

HERE = Path(__file__).resolve().parent
INVALID_PER_VALID = 5


@dataclass
class Row:
    """What became of one file."""

    file: str
    valid: int = 0
    invalid: int = 0
    ok: int = 0
    mutations: int = 0
    effects: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def load(path: Path) -> Any:
    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len({name for name, _ in pairs}) != len(pairs):
            raise Malformed(f"{path.name}: a key stands twice")
        return dict(pairs)

    return json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=once)


def recompute(vector: dict[str, Any], usual: dict[str, int]) -> dict[str, Any]:
    """Post and error by the rules, from pre, environment and operation alone."""
    operation = vector["operation"]
    is_block = operation["kind"] == "block"
    ledger = Ledger(vector["pre"], usual, operation if is_block else vector["environment"])
    before, error = ledger.snapshot(), None
    if is_block:
        error = blocks.check(ledger, operation)
        if error is None:
            blocks.begin(ledger, operation)
    else:
        error = transactions.include(ledger, copy.deepcopy(operation))
    if not (is_block and error):
        blocks.finish(ledger)
    found = {"post": changes(before, ledger.snapshot(), usual)}
    return found | ({"error": error} if error else {})


def expectation(vector: dict[str, Any]) -> dict[str, Any]:
    return {name: vector[name] for name in ("post", "error") if name in vector}


def is_valid(vector: dict[str, Any]) -> bool:
    """It has its effect: neither refused nor, for a block, without any."""
    return "error" not in vector and bool(vector["post"])


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if isinstance(value, (dict, list)):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for name, item in items:
            yield from leaves(item, (*path, name))
    else:
        yield path


def changed(value: Any) -> Any:
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    return "null" if value is None else f"{value}?"


def unnoticed(vector: dict[str, Any], usual: dict[str, int]) -> tuple[int, list[str]]:
    """Changes one thing of the expectation at a time; how many, and which went unseen."""
    expected, found = expectation(vector), recompute(vector, usual)
    paths = list(leaves(expected))
    missed = []
    for path in paths:
        wrong = copy.deepcopy(expected)
        at = wrong
        for name in path[:-1]:
            at = at[name]
        at[path[-1]] = changed(at[path[-1]])
        if wrong == found:
            missed.append(f"{vector['name']}: {'.'.join(map(str, path))} may be anything")
    # What expects nothing at all must not be given anything either.
    if not paths and (expected | {"error": {"kind": "overflow"}}) == found:
        missed.append(f"{vector['name']}: nothing is expected, and anything is taken")
    return len(paths) or 1, missed


def explain(vector: dict[str, Any], found: dict[str, Any]) -> str:
    expected = expectation(vector)
    for name in ("error", "post"):
        if expected.get(name) != found.get(name):
            want, have = (json.dumps(one.get(name), sort_keys=True) for one in (expected, found))
            return f"{vector['name']}: {name}\n      file:  {want}\n      rules: {have}"
    return vector["name"]


def check_file(path: Path, usual: dict[str, int], mutate: bool) -> Row:
    row = Row(path.name)
    try:
        vectors = FILE(load(path), path.name)["vectors"]
    except (Malformed, ValueError) as error:
        row.problems.append(str(error))
        return row
    names = [vector["name"] for vector in vectors]
    row.problems += [f"two vectors are called {name!r}" for name in sorted(set(names)) if names.count(name) > 1]
    for vector in vectors:
        row.valid += is_valid(vector)
        if is_valid(vector) and vector["operation"]["kind"] not in row.effects:
            row.effects.append(vector["operation"]["kind"])
        row.invalid += not is_valid(vector)
        found = recompute(vector, usual)
        if found == expectation(vector):
            row.ok += 1
        else:
            row.problems.append(explain(vector, found))
        if mutate:
            count, missed = unnoticed(vector, usual)
            row.mutations += count
            row.problems += missed
    if row.valid == 0 or row.invalid < INVALID_PER_VALID * row.valid:
        row.problems.append(f"{row.invalid} invalid vectors for {row.valid} valid ones: {INVALID_PER_VALID} each are due")
    return row


def check_all(mutate: bool) -> list[Row]:
    parameters = PARAMETER_FILE(load(HERE / "parameters.json"), "parameters.json")["parameters"]
    governance.BOUNDS.update(parameters)
    usual = {name: rule["devnet"] for name, rule in parameters.items()}
    folder = HERE / "ledger"
    rows = [check_file(path, usual, mutate) for path in sorted(folder.iterdir()) if path.suffix == ".json"]
    rows += [Row(path.name, problems=["nobody reads this"]) for path in folder.iterdir() if path.suffix != ".json"]
    missing = set(OPERATIONS) - {kind for row in rows for kind in row.effects}
    return rows + [Row(f"{name}.json", problems=["no vector in which it has its effect"]) for name in sorted(missing)]


def show(rows: list[Row], mutate: bool) -> None:
    width = max(len(row.file) for row in rows)
    print(f"{'file':{width}}  valid  invalid     ok" + ("  mutations" if mutate else ""))
    for row in [*rows, total(rows)]:
        numbers = f"{row.valid:5}  {row.invalid:7}  {row.ok:5}" + (f"  {row.mutations:9}" if mutate else "")
        print(f"{row.file:{width}}  {numbers}")
        for problem in row.problems:
            print(f"    {problem}")


def total(rows: list[Row]) -> Row:
    sums = {name: sum(getattr(row, name) for row in rows) for name in ("valid", "invalid", "ok", "mutations")}
    return Row("all", **sums)


def main() -> int:
    arguments = argparse.ArgumentParser(description="Recomputes the ledger's vectors from SPEC.md's rules.")
    arguments.add_argument("--mutate", action="store_true", help="demand that each change of an expectation is noticed")
    arguments.add_argument("--json", action="store_true", help="print the table as JSON")
    options = arguments.parse_args()
    rows = check_all(options.mutate)
    if options.json:
        print(json.dumps({"files": [asdict(row) for row in rows], "all": asdict(total(rows))}, indent=2))
    else:
        show(rows, options.mutate)
    return 1 if any(row.problems for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
