"""Integer models as a challenge sees them (docs/exact.md): the tree of an id, sizes and shapes, where the values of a
run stand, and one tile of it computed again. Nothing here knows a model or a run, only what is opened of them."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .blake3 import Hash, left_of

Step = dict[str, Any]
Shape = tuple[int, int, int]

TRACE = Hash("inferium exact trace 2026-12")
LEAF, NODE = Hash("inferium exact model 2026-11 leaf"), Hash("inferium exact model 2026-11 node")
HEADER = (1 << 32) - 1
VERSION, NAME_MAX, NODES_MAX = 1, 64, 1024
PIECE, CHUNK, TILE = 16_384, 256, 64
PARTS_MAX, SUMS_MAX = 1024, 8192
WEIGHTS_MAX, VALUES_MAX, RUN_MAX = 1 << 27, 1 << 22, 1 << 27

# The codec's list: an operation's sizes, and the bytes of a number of each of its parts.
KINDS: list[tuple[str, list[str], list[int]]] = [
    ("dense", ["outputs", "weights"], [2]),
    ("convolution", ["outputs", "kernel", "padding", "weights"], [2]),
    ("pooling", ["size"], []),
    ("affine", ["mantissas", "biases"], [1, 4]),
    ("requantisation", ["shift", "first", "entries"], [2]),
    ("flatten", [], []),
    ("embedding", ["outputs", "tokens", "positions"], [2, 2]),
    ("scores", ["heads", "other"], []),
    ("softmax", ["shift", "bits", "entries"], [2]),
    ("mixture", ["other"], []),
    ("sum", ["other"], []),
    ("normalisation", ["is_centred", "epsilon", "shift"], []),
    ("scale", ["gains", "biases"], [2, 4]),
    ("positions", [], []),
]
WIDTHS = {name: widths for name, _, widths in KINDS}


class Missing(Exception):
    """An operand that is not opened."""


def signed(number: int) -> int:
    """The 32-bit integer with a sign that a number is modulo 2^32."""
    return (number + (1 << 31)) % (1 << 32) - (1 << 31)


# The trace's tree.


def chunks_of(values: int) -> int:
    return max(1, -(-values // CHUNK))


def parts_of(first: int, chunks: int) -> list[tuple[int, int]]:
    """What a span of more than one chunk is shown by: the smallest groups of a power of two of which there are not
    too many."""
    if chunks == 1:
        return []
    group = 1
    while -(-chunks // group) > PARTS_MAX:
        group *= 2
    return [(first + at, min(group, chunks - at)) for at in range(0, chunks, group)]


def chunk_hash(total: int, chunk: int, values: list[int]) -> bytes | None:
    """Of a chunk of a stream of so many values; `None` when it has another number of them."""
    count = chunks_of(total)
    if chunk >= count or len(values) != min(CHUNK, total - CHUNK * chunk):
        return None
    return TRACE.chunk(struct.pack(f"<{len(values)}i", *values), chunk, count == 1)


def climb(span: tuple[int, int], chunk: int, value: bytes, path: list[bytes], is_root: bool) -> bytes | None:
    """The span's hash, from a chunk's and its siblings, of which the last is the highest."""
    first, count = span
    if count == 1:
        return None if path else value
    if not path:
        return None
    split, sibling = left_of(count), path[-1]
    is_left = chunk < first + split
    inner = (first, split) if is_left else (first + split, count - split)
    below = climb(inner, chunk, value, path[:-1], False)
    if below is None:
        return None
    return TRACE.parent(below, sibling, is_root) if is_left else TRACE.parent(sibling, below, is_root)


# The model's tree.


def id_from(piece: Step) -> str:
    """The model's id that a leaf with this way to it gives."""
    place = struct.pack("<3I", piece["node"], piece["part"], piece["piece"])
    top = LEAF.digest(place + bytes.fromhex(piece["bytes"]))
    for sibling, is_left in piece["rises"]:
        other = bytes.fromhex(sibling)
        top = NODE.digest(other + top if is_left else top + other)
    return top.hex()


def _step(raw: bytes) -> Step | None:
    """A node's sizes, and then what it is applied to."""
    if len(raw) % 4 or len(raw) < 8:
        return None
    words = struct.unpack(f"<{len(raw) // 4}I", raw)
    if words[0] >= len(KINDS):
        return None
    kind, names, _ = KINDS[words[0]]
    if len(words) != 2 + len(names):
        return None
    step = {"kind": kind, "input": words[-1]} | dict(zip(names, words[1:]))
    if max(step.get("shift", 0), step.get("bits", 0)) > 255 or step.get("is_centred", 0) > 1:
        return None
    if "first" in step:
        step["first"] = signed(step["first"])
    return step


@dataclass
class Outline:
    """A model's sizes: all but its numbers."""

    input: Shape
    least: int
    most: int
    steps: list[Step]

    @property
    def is_sequence(self) -> bool:
        return any(step["kind"] == "embedding" for step in self.steps)

    def width_of(self, node: int, part: int) -> int | None:
        """Bytes of a number of a part."""
        if node >= len(self.steps):
            return None
        widths = WIDTHS[self.steps[node]["kind"]]
        return widths[part - 1] if 0 < part <= len(widths) else None

    def laid_out(self, length: int) -> Layout | None:
        """For an input of so many elements; `None` where the model takes none, or has no audits."""
        if not self.is_sequence and length != math.prod(self.input):
            return None
        shapes = self.shapes(length if self.is_sequence else self.input[2])
        layout = None if shapes is None else Layout(self.steps, shapes)
        return layout if layout and layout.is_short() else None

    def shapes(self, width: int) -> list[Shape] | None:
        """Of the input and each result, by the gate's first rule; `None` where something does not fit."""
        is_sequence = self.is_sequence
        if not 0 < len(self.steps) <= NODES_MAX or self.least > self.most or width > self.input[2]:
            return None
        shapes: list[Shape] = [(self.input[0], self.input[1], width)]
        # Whether height and width are as long as the sequence.
        long: list[tuple[bool, bool]] = [(False, is_sequence)]
        for step in self.steps:
            found = self._shape(step, shapes, long)
            if found is None:
                return None
            shapes.append(found[0])
            long.append(found[1])
        sizes = [math.prod(shape) for shape in shapes]
        most = RUN_MAX if is_sequence else VALUES_MAX
        fits = 0 not in sizes and max(sizes) <= VALUES_MAX and sum(sizes) <= most
        return shapes if fits and sum(shape[0] for shape in shapes) <= VALUES_MAX else None

    def _shape(
        self, step: Step, shapes: list[Shape], long: list[tuple[bool, bool]]
    ) -> tuple[Shape, tuple[bool, bool]] | None:
        others = [step["input"], step.get("other", 0)]
        if max(others) >= len(shapes):
            return None
        x, other = (shapes[at] for at in others)
        lengths, other_lengths = (long[at] for at in others)
        if "other" in step:
            return self._shape_of_two(step, (x, lengths), (other, other_lengths))
        shape = self._shape_of_one(step, x, any(lengths))
        stays = lengths if step["kind"] != "positions" else (False, False)
        return None if shape is None else (shape, stays)

    def _shape_of_one(self, step: Step, x: Shape, is_long: bool) -> Shape | None:
        kind, (channels, height, width) = step["kind"], x
        if kind == "dense":
            is_whole = 0 < step["outputs"] and step["weights"] == step["outputs"] * channels <= WEIGHTS_MAX
            return (step["outputs"], 1, 1) if is_whole and (height, width) == (1, 1) and not is_long else None
        if kind == "convolution":
            return _convolved(step, x) if not is_long or step["kernel"] == 1 else None
        if kind == "pooling":
            fits = 1 < step["size"] <= min(16, height, width) and not is_long
            return (channels, height // step["size"], width // step["size"]) if fits else None
        if kind == "flatten":
            return None if is_long else (math.prod(x), 1, 1)
        if kind == "embedding":
            rows = {"tokens": self.most + 1, "positions": self.input[2]}
            is_whole = all(step[table] == count * step["outputs"] <= WEIGHTS_MAX for table, count in rows.items())
            is_line = (channels, height) == (1, 1) and step["input"] == 0 and self.least >= 0
            return (step["outputs"], 1, width) if is_whole and is_line and step["outputs"] > 0 else None
        if kind == "positions":
            return (channels, 1, 1)
        is_sound = {
            "affine": lambda: step["mantissas"] in (0, channels) and step["biases"] == channels,
            "requantisation": lambda: 1 <= step["shift"] <= 16 and _is_table(step["entries"]),
            "softmax": lambda: 1 <= step["shift"] <= 16 and 1 <= step["bits"] <= 16 and _is_table(step["entries"]),
            "normalisation": lambda: channels <= 2048 and step["epsilon"] > 0 and 1 <= step["shift"] <= 16,
            "scale": lambda: step["gains"] == step["biases"] == channels,
        }[kind]
        return x if is_sound() else None

    def _shape_of_two(
        self, step: Step, one: tuple[Shape, tuple[bool, bool]], two: tuple[Shape, tuple[bool, bool]]
    ) -> tuple[Shape, tuple[bool, bool]] | None:
        (x, lengths), (other, other_lengths) = one, two
        if step["kind"] == "sum":
            return one if one == two else None
        if step["kind"] == "scores":
            heads = step["heads"]
            fits = x[1] == other[1] == 1 and x[0] == other[0] and heads > 0 and x[0] % heads == 0
            return ((heads, x[2], other[2]), (lengths[1], other_lengths[1])) if fits else None
        # A mixture reads the shares of a softmax and nothing else.
        is_shares = step["input"] > 0 and self.steps[step["input"] - 1]["kind"] == "softmax"
        fits = other[1] == 1 and other[2] == x[2] and lengths[1] == other_lengths[1] and x[0] > 0
        if not fits or not is_shares or other[0] % x[0]:
            return None
        return (other[0], 1, x[1]), (False, lengths[0])


def _is_table(entries: int) -> bool:
    return 0 < entries <= 1 << 16 and entries.bit_count() == 1


def _convolved(step: Step, x: Shape) -> Shape | None:
    outputs, kernel, padding = step["outputs"], step["kernel"], step["padding"]
    if not 0 < kernel <= 64 or padding >= kernel or outputs == 0:
        return None
    sides = [side + 2 * padding - kernel + 1 for side in x[1:]]
    if min(sides) < 1 or step["weights"] != outputs * x[0] * kernel**2 or step["weights"] > WEIGHTS_MAX:
        return None
    return outputs, sides[0], sides[1]


def outline(header: bytes, sizes: list[bytes]) -> Outline | None:
    """From the leaves that hold them; `None` when they are of no model."""
    fixed = struct.calcsize("<H3I2hQ")
    if len(header) < fixed:
        return None
    version, channels, height, width, least, most, nodes = struct.unpack("<H3I2hQ", header[:fixed])
    name = header[fixed:]
    try:
        name.decode()
    except UnicodeDecodeError:
        return None
    steps = [_step(raw) for raw in sizes]
    if version != VERSION or nodes != len(sizes) or nodes > NODES_MAX or len(name) > NAME_MAX or None in steps:
        return None
    found = Outline((channels, height, width), least, most, [step for step in steps if step])
    return None if found.shapes(width) is None else found


# The stream, and one tile.


class Layout:
    """Where each value of a run stands, and what it is computed from."""

    def __init__(self, steps: list[Step], shapes: list[Shape]) -> None:
        self.steps, self.shapes = steps, shapes
        self.starts = [sum(math.prod(shape) for shape in shapes[:at]) for at in range(len(shapes))]
        self.values = sum(math.prod(shape) for shape in shapes)

    def is_short(self) -> bool:
        return all(self._tiles_of(tensor) <= SUMS_MAX for tensor in range(1, len(self.shapes)))

    def place(self, at: int) -> tuple[int, tuple[int, int, int]] | None:
        """The tensor of the value at this position, and its channel, row and column."""
        if at >= self.values:
            return None
        tensor = max(index for index, start in enumerate(self.starts) if start <= at)
        channels, height, width = self.shapes[tensor]
        inside = at - self.starts[tensor]
        # One row is written column by column, of each all channels.
        if height == 1:
            return tensor, (inside % channels, 0, inside // channels)
        return tensor, (inside // (height * width), inside // width % height, inside % width)

    def at(self, tensor: int, channel: int, row: int, column: int) -> int:
        channels, height, width = self.shapes[tensor]
        inside = column * channels + channel if height == 1 else (channel * height + row) * width + column
        return self.starts[tensor] + inside

    def index_of(self, tensor: int, place: tuple[int, int, int]) -> int:
        """In the contract's order: channels, rows, columns."""
        _, height, width = self.shapes[tensor]
        return (place[0] * height + place[1]) * width + place[2]

    def stream_of(self, tensor: int) -> list[int]:
        """Positions of a tensor's values in the contract's order."""
        channels, height, width = self.shapes[tensor]
        return [self.at(tensor, c, y, x) for c in range(channels) for y in range(height) for x in range(width)]

    def tiles(self, at: int) -> int | None:
        """`None` of what is not computed."""
        place = self.place(at)
        return self._tiles_of(place[0]) if place and place[0] else None

    def _tiles_of(self, tensor: int) -> int:
        count = self._operands(tensor)
        return 1 if count is None else max(1, -(-count // TILE))

    def _operands(self, tensor: int) -> int | None:
        """Of a sum; `None` of what is none."""
        step = self.steps[tensor - 1]
        channels, height, width = self.shapes[step["input"]]
        return {
            "dense": lambda: channels, "convolution": lambda: channels * step["kernel"] ** 2,
            "pooling": lambda: step["size"] ** 2, "scores": lambda: channels // step["heads"],
            "mixture": lambda: width, "positions": lambda: height * width,
        }.get(step["kind"], lambda: None)()

    def execute(self, at: int, tile: int, before: int, opened: Operands) -> int:
        """The partial sum after a tile; of what is no sum the value. `Missing` when something is not opened."""
        found = self.place(at)
        if found is None or found[0] == 0:
            raise Missing
        tensor, place = found
        element = Element(self, tensor, place, opened)
        count = self._operands(tensor)
        if count is None:
            return signed(element.value())
        total = before if tile else 0
        for operand in range(TILE * tile, min(count, TILE * (tile + 1))):
            total += element.product(operand)
        return signed(total)


@dataclass
class Operands:
    """What was opened: values by position, numbers by node, part and index."""

    value: Callable[[int], int]
    number: Callable[[int, int, int], int]


class Element:
    """One value of a result."""

    def __init__(self, layout: Layout, tensor: int, place: tuple[int, int, int], opened: Operands) -> None:
        self.layout, self.step, self.node, self.opened = layout, layout.steps[tensor - 1], tensor - 1, opened
        self.channel, self.row, self.column = place
        self.shape = layout.shapes[self.step["input"]]
        self.other = layout.shapes[self.step.get("other", 0)]

    def _x(self, channel: int, row: int, column: int) -> int:
        return self.opened.value(self.layout.at(self.step["input"], channel, row, column))

    def _y(self, channel: int, row: int, column: int) -> int:
        return self.opened.value(self.layout.at(self.step["other"], channel, row, column))

    def _n(self, part: int, index: int) -> int:
        return self.opened.number(self.node, part, index)

    def product(self, operand: int) -> int:
        """One summand of a sum."""
        kind, step, (channels, height, width) = self.step["kind"], self.step, self.shape
        if kind == "dense":
            return self._n(1, self.channel * channels + operand) * self._x(operand, 0, 0)
        if kind == "convolution":
            kernel = step["kernel"]
            channel, (dy, dx) = operand // kernel**2, divmod(operand % kernel**2, kernel)
            row, column = self.row + dy - step["padding"], self.column + dx - step["padding"]
            if not (0 <= row < height and 0 <= column < width):
                return 0
            return self._n(1, self.channel * channels * kernel**2 + operand) * self._x(channel, row, column)
        if kind == "pooling":
            dy, dx = divmod(operand, step["size"])
            return self._x(self.channel, self.row * step["size"] + dy, self.column * step["size"] + dx)
        if kind == "scores":
            feature = self.channel * (channels // step["heads"]) + operand
            return self._x(feature, 0, self.row) * self._y(feature, 0, self.column)
        if kind == "mixture":
            size = self.other[0] // channels
            return self._x(self.channel // size, self.column, operand) * self._y(self.channel, 0, operand)
        return self._x(self.channel, *divmod(operand, width))

    def value(self) -> int:
        """A value that is no sum."""
        step, kind = self.step, self.step["kind"]
        if kind == "flatten":
            _, height, width = self.shape
            channel, rest = divmod(self.channel, height * width)
            return self._x(channel, *divmod(rest, width))
        if kind == "embedding":
            return self._embedded()
        if kind == "softmax":
            return self._shared()
        if kind == "normalisation":
            return self._normal()
        own = self._x(self.channel, self.row, self.column)
        if kind == "affine":
            factor = self._n(1, self.channel) if step["mantissas"] else 1
            return factor * own + self._n(2, self.channel)
        if kind == "scale":
            return self._n(1, self.channel) * own + self._n(2, self.channel)
        if kind == "sum":
            return own + self._y(self.channel, self.row, self.column)
        # Below the table there is its first entry, and above it zero: of a liar's values alone.
        entry = max(0, _rounded(own, step["shift"]) - step["first"])
        return self._n(1, entry) if entry < step["entries"] else 0

    def _embedded(self) -> int:
        step, width = self.step, self.step["outputs"]
        # A token below the table counts as the first, and one above it has zeros.
        token = max(0, self._x(0, 0, self.column)) * width + self.channel
        entry = self._n(1, token) if token < step["tokens"] else 0
        return entry + self._n(2, self.column * width + self.channel)

    def _shared(self) -> int:
        step = self.step
        row = [self._x(self.channel, self.row, column) for column in range(self.shape[2])]
        places = [min(_rounded(max(row) - value, step["shift"]), step["entries"] - 1) for value in row]
        shares = [self._n(1, place) for place in places]
        reciprocal = (1 << 29) // max(1, sum(shares))
        return _or_zero(shares[self.column] * reciprocal >> 29 - step["bits"])

    def _normal(self) -> int:
        step, channels = self.step, self.shape[0]
        values = [self._x(channel, self.row, self.column) for channel in range(channels)]
        mean = sum(values) // channels if step["is_centred"] else 0
        squares = sum((value - mean) ** 2 for value in values) + step["epsilon"]
        root = math.isqrt((1 << 58) // squares)
        return _or_zero(_rounded((values[self.channel] - mean) * root, step["shift"]))


def direction(integers: list[int]) -> list[int] | None:
    """Bits of the vector that a sentence's integers make: at length 1, each step rounded once; none of zeros."""
    squares = sum(value * value for value in integers)
    if not squares:
        return None
    length = math.sqrt(float(squares))
    return [struct.unpack("<I", struct.pack("<f", value / length))[0] for value in integers]


def _rounded(value: int, shift: int) -> int:
    return value + (1 << shift - 1) >> shift


def _or_zero(value: int) -> int:
    """What leaves 32 bits, of a liar's values alone, counts as zero."""
    return value if -(1 << 31) <= value < 1 << 31 else 0
