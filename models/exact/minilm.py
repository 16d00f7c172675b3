#!/usr/bin/env python3
"""Writes the texts of `models/exact/minilm` as token ids for the example `minilm` of `inferium-exact`.

    python3 models/exact/minilm.py --model FOLDER --out OUT

FOLDER holds the `tokenizer.json` of all-MiniLM-L6-v2; needs the package `tokenizers`. Writes `calibration.jsonl`, `pairs.jsonl`
(the two sentences of each pair on two lines), `grades.json` and `long.jsonl` to OUT: an array of ids for each line,
special tokens included, nothing padded, nothing cut off.
"""

import argparse
import json
import pathlib

from tokenizers import Tokenizer


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=pathlib.Path, required=True)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    tokenizer = Tokenizer.from_file(str(options.model / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    texts = pathlib.Path(__file__).parent / "minilm"

    def lines(name):
        found = (texts / name).read_text(encoding="utf-8").splitlines()
        return [line for line in found if line and not line.startswith("# ")]

    def write(name, sentences):
        ids = [json.dumps(tokenizer.encode(sentence).ids) for sentence in sentences]
        (options.out / name).write_text("\n".join(ids) + "\n", encoding="utf-8")

    pairs = [line.split("\t") for line in lines("pairs.tsv")]
    calibration = lines("calibration.txt")
    tested = {sentence for _, *pair in pairs for sentence in pair}.union(lines("long.txt"))
    assert not tested & set(calibration), "a sentence is calibrated with and tested"
    write("pairs.jsonl", [sentence for _, *pair in pairs for sentence in pair])
    write("calibration.jsonl", calibration)
    write("long.jsonl", lines("long.txt"))
    (options.out / "grades.json").write_text(json.dumps([int(grade) for grade, *_ in pairs]) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
