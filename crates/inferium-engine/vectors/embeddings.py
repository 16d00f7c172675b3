#!/usr/bin/env python3
"""Generates all-minilm-l6-v2.json: texts, their tokens and their vectors, by a second tokenizer and two more forward passes.

Run `python3 embeddings.py FOLDER > all-minilm-l6-v2.json` with the model's folder; needs numpy. The tokenizer is BERT's
original algorithm over the vocabulary. One forward pass is the textbook's in 64-bit floats with the platform's exp and erf:
what is right. The other one is the canonical arithmetic, rule by rule as src/kernel/mod.rs has it, in 32-bit floats: which bits
are right. Takes about half a minute.
"""
import hashlib
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


F = numpy.float32
LANES = 16


def lanes_sum(rows):
    """Sums of rows: lane `i mod 16` in order, then halves: 8, 4, 2, 1."""
    lanes = numpy.zeros((len(rows), LANES), F)
    for first in range(0, rows.shape[1], LANES):
        lanes = lanes + rows[:, first : first + LANES]
    half = LANES // 2
    while half:
        lanes = lanes[:, :half] + lanes[:, half : 2 * half]
        half //= 2
    return lanes


def product(x, weights):
    """`y = 0; for k in order { y = y + w * x }` for each row of x and each row of the weights."""
    y = numpy.zeros((len(x), len(weights)), F)
    for k in range(x.shape[1]):
        y = y + weights[:, k] * x[:, k, None]
    return y


def canonical_exp(x):
    rounder = F(12_582_912.0)
    x = numpy.minimum(numpy.maximum(x, F(-87)), F(88))
    shifted = x * F(1.4426950408889634) + rounder
    n = shifted - rounder
    r = (x - n * F(0.6933594)) - n * F(-2.1219444e-4)
    p = numpy.full_like(x, F(1.9875691e-4))
    for coefficient in (1.3981999e-3, 8.333452e-3, 4.1665796e-2, 1.6666665e-1, 0.5):
        p = p * r + F(coefficient)
    value = (p * (r * r) + r) + F(1)
    exponent = shifted.view(numpy.int32) - rounder.view(numpy.int32) + numpy.int32(127)
    return value * (exponent << 23).view(F)


def canonical_erf(x):
    x = numpy.minimum(numpy.maximum(x, F(-4)), F(4))
    square = x * x
    p = numpy.full_like(x, F(-2.7261423e-10))
    for coefficient in (2.7706814e-8, -2.101024e-6, -5.6925064e-5, -7.3499063e-4, -2.9546e-3, -1.6096033e-2):
        p = p * square + F(coefficient)
    q = numpy.full_like(x, F(-1.4566072e-5))
    for coefficient in (-2.1337405e-4, -1.682827e-3, -7.3733292e-3, -1.4264739e-2):
        q = q * square + F(coefficient)
    return (x * p) / q


class Canonical(Model):
    """The same with every operation in the canonical order."""

    def __init__(self, folder):
        super().__init__(folder)
        # They are 32-bit floats in the file.
        self.tensors = {name: tensor.astype(F) for name, tensor in self.tensors.items()}

    def linear(self, name, x):
        return product(x, self.tensors[f"{name}.weight"]) + self.tensors[f"{name}.bias"]

    def norm(self, name, x):
        count = F(x.shape[1])
        centred = x - lanes_sum(x) / count
        inverse = F(1) / numpy.sqrt(lanes_sum(centred * centred) / count + F(self.config["layer_norm_eps"]))
        return (centred * inverse) * self.tensors[f"{name}.weight"] + self.tensors[f"{name}.bias"]

    def head(self, q, k, v):
        scores = product(q, k) * (F(1) / numpy.sqrt(F(q.shape[1])))
        weights = canonical_exp(scores - scores.max(axis=1, keepdims=True))
        padded = numpy.zeros((len(weights), -(-len(k) // LANES) * LANES), F)
        padded[:, : len(k)] = weights
        return product(weights, v.T) * (F(1) / lanes_sum(padded))

    def attention(self, name, x):
        heads = self.config["num_attention_heads"]
        parts = [self.linear(f"{name}.self.{part}", x) for part in ("query", "key", "value")]
        split = [numpy.split(part, heads, axis=1) for part in parts]
        answers = numpy.concatenate([self.head(q, k, v) for q, k, v in zip(*split)], axis=1)
        return self.norm(f"{name}.output.LayerNorm", self.linear(f"{name}.output.dense", answers) + x)

    def vector(self, ids):
        name = "embeddings"
        x = self.tensors[f"{name}.word_embeddings.weight"][ids]
        x = x + self.tensors[f"{name}.token_type_embeddings.weight"][0]
        x = self.norm(f"{name}.LayerNorm", x + self.tensors[f"{name}.position_embeddings.weight"][: len(ids)])
        for layer in range(self.config["num_hidden_layers"]):
            name = f"encoder.layer.{layer}"
            x = self.attention(f"{name}.attention", x)
            inner = self.linear(f"{name}.intermediate.dense", x)
            inner = (inner * F(0.5)) * (F(1) + canonical_erf(inner * F(0.7071067811865476)))
            x = self.norm(f"{name}.output.LayerNorm", self.linear(f"{name}.output.dense", inner) + x)
        mean = numpy.zeros(x.shape[1], F)
        for row in x:
            mean = mean + row
        mean = mean / F(len(x))
        return mean / numpy.sqrt(lanes_sum((mean * mean)[None, :])[0])


def main():
    model, canonical = Model(sys.argv[1]), Canonical(sys.argv[1])
    cases = []
    for text in TEXTS:
        ids = tokens(text, model.vocabulary)
        bits = canonical.vector(ids)
        assert bits.dtype == F
        digest = hashlib.sha256(bits.astype("<f4").tobytes()).hexdigest()
        vector = [round(x, 7) for x in model.vector(ids)]
        cases.append({"text": text, "tokens": ids, "bits": digest, "vector": vector})
    print("[" + ",\n".join(json.dumps(case, ensure_ascii=True) for case in cases) + "]")


if __name__ == "__main__":
    main()
