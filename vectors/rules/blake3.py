"""BLAKE3 in its mode that derives keys, with the chaining values of its tree (the BLAKE3 specification, sections 2.1
to 2.6): challenges show parts of a hash, which no library's plain hash gives."""

from __future__ import annotations

import struct
from functools import lru_cache

CHUNK, BLOCK = 1024, 64
IV = (
    0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A, 0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19,
)
CHUNK_START, CHUNK_END, PARENT, ROOT, CONTEXT, MATERIAL = 1, 2, 4, 8, 32, 64
PERMUTATION = (2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8)
# Four columns, then four diagonals.
LANES = (
    (0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15),
    (0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14),
)
MASK = (1 << 32) - 1
Words = tuple[int, ...]


def _schedule() -> list[list[tuple[int, int, int, int, int, int]]]:
    """Of each of the seven rounds the lanes, each with the two words of the block that it takes."""
    order, rounds = list(range(16)), []
    for _ in range(7):
        rounds.append([(*lane, order[2 * at], order[2 * at + 1]) for at, lane in enumerate(LANES)])
        order = [order[place] for place in PERMUTATION]
    return rounds


SCHEDULE = _schedule()


def _compress(chaining: Words, block: bytes, counter: int, flags: int) -> Words:
    words = struct.unpack("<16I", block.ljust(BLOCK, b"\0"))
    v = [*chaining, *IV[:4], counter & MASK, counter >> 32, len(block), flags]
    for lanes in SCHEDULE:
        for a, b, c, d, x, y in lanes:
            va, vb, vc, vd = v[a], v[b], v[c], v[d]
            va = (va + vb + words[x]) & MASK
            vd ^= va
            vd = (vd >> 16 | vd << 16) & MASK
            vc = (vc + vd) & MASK
            vb ^= vc
            vb = (vb >> 12 | vb << 20) & MASK
            va = (va + vb + words[y]) & MASK
            vd ^= va
            vd = (vd >> 8 | vd << 24) & MASK
            vc = (vc + vd) & MASK
            vb ^= vc
            v[a], v[b], v[c], v[d] = va, (vb >> 7 | vb << 25) & MASK, vc, vd
    return tuple(v[at] ^ v[at + 8] for at in range(8))


def _words(raw: bytes) -> Words:
    return struct.unpack("<8I", raw)


def left_of(count: int) -> int:
    """Where a tree of more than one leaf splits: the largest power of two below their number."""
    return 1 << (count - 1).bit_length() - 1


# What is the same in every vector is hashed once.
@lru_cache(maxsize=1 << 14)
def _chunk(key: Words, mode: int, data: bytes, index: int, is_root: bool) -> bytes:
    chaining = key
    starts = range(0, max(len(data), 1), BLOCK)
    for start in starts:
        flags = mode | CHUNK_START * (start == 0)
        if start == starts[-1]:
            flags |= CHUNK_END | ROOT * is_root
        chaining = _compress(chaining, data[start : start + BLOCK], index, flags)
    return struct.pack("<8I", *chaining)


@lru_cache(maxsize=1 << 14)
def _parent(key: Words, mode: int, left: bytes, right: bytes, is_root: bool) -> bytes:
    return struct.pack("<8I", *_compress(key, left + right, 0, mode | PARENT | ROOT * is_root))


class Hash:
    """BLAKE3 under a context."""

    def __init__(self, context: str) -> None:
        self.key, self.mode = IV, CONTEXT
        self.key, self.mode = _words(self.digest(context.encode())), MATERIAL

    def chunk(self, data: bytes, index: int, is_root: bool) -> bytes:
        """The chaining value of a chunk, or, where it is all there is, the hash."""
        return _chunk(self.key, self.mode, data, index, is_root)

    def parent(self, left: bytes, right: bytes, is_root: bool) -> bytes:
        return _parent(self.key, self.mode, left, right, is_root)

    def tree(self, values: list[bytes], is_root: bool) -> bytes:
        """Of neighbouring subtrees, all as large as the first but for the last, the one above them."""
        if len(values) == 1:
            return values[0]
        split = left_of(len(values))
        return self.parent(self.tree(values[:split], False), self.tree(values[split:], False), is_root)

    def digest(self, data: bytes) -> bytes:
        chunks = [data[start : start + CHUNK] for start in range(0, max(len(data), 1), CHUNK)]
        is_one = len(chunks) == 1
        return self.tree([self.chunk(part, index, is_one) for index, part in enumerate(chunks)], True)
