#!/usr/bin/env python3
"""Makes the data sets of this folder from the files that they come from; `--check` says whether they are what it makes.

    make.py topics FOLDER    FOLDER has WordNet 3.0's `data.noun` (Debian's package `wordnet-base`, in usr/share/wordnet)

Which entries are taken is decided by a hash of each, so the same bytes come out everywhere; the order of lines is that hash's too.
"""

import hashlib
import json
import pathlib
import re
import sys

HERE = pathlib.Path(__file__).resolve().parent
# WordNet's numbers of the lexicographers' files, and what we call them.
TOPICS = {
    "04": "act", "05": "animal", "06": "artifact", "08": "body", "10": "communication", "12": "feeling",
    "13": "food", "15": "location", "18": "person", "20": "plant", "27": "substance", "28": "time",
}
PER_TOPIC = 200
LETTERS = (24, 120)


def rank(text):
    return hashlib.sha256(f"inferium/topics/{text}".encode()).hexdigest()


def entries(path):
    """Lemma and definition of each common noun, without the examples that some have."""
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("  "):
            continue
        head, _, gloss = line.partition(" | ")
        fields = head.split()
        topic, lemma = TOPICS.get(fields[1]), fields[4].replace("_", " ")
        definition = re.split(r'[;:]? *"', gloss)[0].strip().rstrip(";:").strip()
        if topic and lemma == lemma.lower() and LETTERS[0] <= len(definition) <= LETTERS[1]:
            yield topic, f"{lemma}: {definition}"


def topics(folder):
    by_topic = {}
    for topic, text in sorted(set(entries(pathlib.Path(folder) / "data.noun"))):
        by_topic.setdefault(topic, []).append(text)
    lines = []
    for topic, texts in by_topic.items():
        texts.sort(key=rank)
        lines += [{"text": text, "label": topic} for text in texts[:PER_TOPIC]]
    lines.sort(key=lambda line: rank(line["text"] + line["label"]))
    return "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)


def main():
    words = [word for word in sys.argv[1:] if word != "--check"]
    if len(words) != 2 or words[0] != "topics":
        sys.exit(__doc__)
    path, text = HERE / "topics" / "topics.jsonl", topics(words[1])
    if "--check" in sys.argv:
        sys.exit(0 if path.read_text(encoding="utf-8") == text else f"{path} is not what this script makes")
    path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
