#!/usr/bin/env python3
"""Generates all-minilm-l6-v2.json: texts, their tokens and their vectors, by a second tokenizer and a second forward pass.

Run `python3 embeddings.py FOLDER > all-minilm-l6-v2.json` with the model's folder; needs numpy. The tokenizer is BERT's
original algorithm over the vocabulary; the forward pass is the textbook's in 64-bit floats with the platform's exp and erf.
"""
import json
import math
import struct
import sys
import unicodedata

import numpy

TEXTS = [
    "The weather is lovely today.",
    "It's so sunny outside!",
    "He drove to the stadium.",
    "",
    " \t\r\n ",
    "a",
    "naïve CAFÉ — “Straße” İstanbul ﬁn",
    "漢字かな交じり文 кириллица العربية हिन्दी 한국어",
    "🦀🚀 emoji 👩‍👩‍👧 and\u0000 con\u0007trol\ufffd \u00ad\u200bsigns",
    "[CLS] [SEP] [MASK] [PAD] [UNK] <s>",
    "fn main() { println!(\"{}\", 1_000_000u64 << 3); } // $42.50 @ 3pm, e-mail: a.b+c@d.org",
    "pneumonoultramicroscopicsilicovolcanoconiosis " + "x" * 100 + " " + "x" * 101,
    "A decentralised network answers requests on machines that nobody has to trust, and proves it. Validators replay the "
    "answers bit for bit before they are final; the chain pays for what was right, and slashes what was wrong.",
    "hello " * 254,
]

BEFORE, AFTER, UNKNOWN = "[CLS]", "[SEP]", "[UNK]"


def is_chinese(char):
    code = ord(char)
    ranges = [(0x4E00, 0x9FFF), (0x3400, 0x4DBF), (0x20000, 0x2A6DF), (0x2A700, 0x2B73F), (0x2B740, 0x2B81F)]
    ranges += [(0x2B820, 0x2CEAF), (0xF900, 0xFAFF), (0x2F800, 0x2FA1F)]
    return any(first <= code <= last for first, last in ranges)


def is_punctuation(char):
    code = ord(char)
    is_ascii = 33 <= code <= 47 or 58 <= code <= 64 or 91 <= code <= 96 or 123 <= code <= 126
    return is_ascii or unicodedata.category(char).startswith("P")


def words(text):
    """Lower case without accents; cut at spaces, around punctuation and around Chinese characters."""
    clean = []
    for char in text:
        if char in "\t\n\r" or unicodedata.category(char) == "Zs":
            clean.append(" ")
        elif ord(char) not in (0, 0xFFFD) and not unicodedata.category(char).startswith("C"):
            clean.append(f" {char} " if is_chinese(char) else char)
    plain = [char for char in unicodedata.normalize("NFD", "".join(clean)) if unicodedata.category(char) != "Mn"]
    cut = "".join(f" {char} " if is_punctuation(char) else char for char in "".join(plain).lower())
    return cut.split()


def pieces(word, vocabulary):
    """The longest known pieces from left to right; unknown as a whole if one is missing."""
    found, start = [], 0
    if len(word) > 100:
        return [vocabulary[UNKNOWN]]
    while start < len(word):
        for end in range(len(word), start, -1):
            piece = ("##" if start else "") + word[start:end]
            if piece in vocabulary:
                found.append(vocabulary[piece])
                start = end
                break
        else:
            return [vocabulary[UNKNOWN]]
    return found


def tokens(text, vocabulary):
    inner = [token for word in words(text) for token in pieces(word, vocabulary)]
    return [vocabulary[BEFORE], *inner, vocabulary[AFTER]]


def tensors(path):
    with open(path, "rb") as file:
        (size,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(size))
        data = file.read()
    found = {}
    for name, info in header.items():
        if info.get("dtype") == "F32":
            first, last = info["data_offsets"]
            found[name] = numpy.frombuffer(data[first:last], "<f4").astype(numpy.float64).reshape(info["shape"])
    return found


ERF = numpy.vectorize(math.erf)


class Model:
    def __init__(self, folder):
        self.config = json.load(open(f"{folder}/config.json"))
        self.tensors = tensors(f"{folder}/model.safetensors")
        self.vocabulary = json.load(open(f"{folder}/tokenizer.json"))["model"]["vocab"]

    def linear(self, name, x):
        return x @ self.tensors[f"{name}.weight"].T + self.tensors[f"{name}.bias"]

    def norm(self, name, x):
        centred = x - x.mean(axis=-1, keepdims=True)
        deviation = numpy.sqrt((centred**2).mean(axis=-1, keepdims=True) + self.config["layer_norm_eps"])
        return centred / deviation * self.tensors[f"{name}.weight"] + self.tensors[f"{name}.bias"]

    def attention(self, name, x):
        heads = self.config["num_attention_heads"]
        split = [self.linear(f"{name}.self.{part}", x) for part in ("query", "key", "value")]
        q, k, v = (part.reshape(len(x), heads, -1).transpose(1, 0, 2) for part in split)
        scores = q @ k.transpose(0, 2, 1) / math.sqrt(q.shape[-1])
        weights = numpy.exp(scores - scores.max(axis=-1, keepdims=True))
        weights /= weights.sum(axis=-1, keepdims=True)
        answers = (weights @ v).transpose(1, 0, 2).reshape(len(x), -1)
        return self.norm(f"{name}.output.LayerNorm", self.linear(f"{name}.output.dense", answers) + x)

    def vector(self, ids):
        name = "embeddings"
        x = self.tensors[f"{name}.word_embeddings.weight"][ids]
        x = x + self.tensors[f"{name}.position_embeddings.weight"][: len(ids)]
        x = self.norm(f"{name}.LayerNorm", x + self.tensors[f"{name}.token_type_embeddings.weight"][0])
        for layer in range(self.config["num_hidden_layers"]):
            name = f"encoder.layer.{layer}"
            x = self.attention(f"{name}.attention", x)
            inner = self.linear(f"{name}.intermediate.dense", x)
            inner = inner * 0.5 * (1 + ERF(inner / math.sqrt(2)))
            x = self.norm(f"{name}.output.LayerNorm", self.linear(f"{name}.output.dense", inner) + x)
        mean = x.mean(axis=0)
        return mean / numpy.linalg.norm(mean)


def main():
    model = Model(sys.argv[1])
    cases = []
    for text in TEXTS:
        ids = tokens(text, model.vocabulary)
        cases.append({"text": text, "tokens": ids, "vector": [round(x, 7) for x in model.vector(ids)]})
    print("[" + ",\n".join(json.dumps(case, ensure_ascii=True) for case in cases) + "]")


if __name__ == "__main__":
    main()
