#!/usr/bin/env python3
"""Trains the classifiers that exact models are compiled from, and writes them with a calibration and a test set.

    python3 models/exact/train.py --out FOLDER

Data: the handwritten digits that scikit-learn carries (1,797 of 8 by 8), scaled up to 28 by 28 pixels of 0 to 255, and
moved and tilted copies of those in the training part. A fifth of the originals is the test set, which no copy is of.
Training is numpy alone and seeded; a minute for both networks on one core.

Writes `mlp.safetensors` (784-128-64-10) and `lenet.safetensors` (LeNet-5, 61,706 parameters), whose metadata is
what `inferium exact compile` reads, and `calibration.u8`, `test.u8` (images, 784 bytes each), `test.labels`. With the package `onnx` also
`mlp.onnx` and `lenet.onnx`, the same weights, which compile to the same models. Then:

    inferium exact compile FOLDER/mlp.safetensors --calibration FOLDER/calibration.u8 --out mlp.ifx
    inferium exact run mlp.ifx --input FOLDER/test.u8
"""

import argparse
import pathlib

import numpy as np
from safetensors.numpy import save_file
from sklearn.datasets import load_digits


def resize(images, side):
    """Bilinear, of all images at once."""
    size = images.shape[1]
    at = (np.arange(side) + 0.5) * size / side - 0.5
    low = np.clip(np.floor(at).astype(int), 0, size - 2)
    part = np.clip(at - low, 0, 1)
    rows = images[:, low] * (1 - part)[None, :, None] + images[:, low + 1] * part[None, :, None]
    return rows[:, :, low] * (1 - part) + rows[:, :, low + 1] * part


def copies(images, rng):
    """Each image moved by up to two pixels and sheared a little."""
    out = np.empty_like(images)
    for index, image in enumerate(images):
        dy, dx = rng.integers(-2, 3, 2)
        shear = rng.uniform(-0.15, 0.15)
        moved = np.roll(np.roll(image, dy, 0), dx, 1)
        for row in range(28):
            moved[row] = np.roll(moved[row], int(round(shear * (row - 14))))
        out[index] = moved
    return out


def load(rng):
    digits = load_digits()
    images = np.clip(np.round(resize(digits.images * (255.0 / 16.0), 28)), 0, 255)
    order = rng.permutation(len(images))
    images, labels = images[order], digits.target[order]
    split = len(images) // 5
    test, train = (images[:split], labels[:split]), (images[split:], labels[split:])
    more = [train[0]] + [copies(train[0], rng) for _ in range(5)]
    return (np.concatenate(more), np.tile(train[1], 6)), train, test


class Dense:
    def __init__(self, rng, inputs, outputs):
        self.w = rng.normal(0, np.sqrt(2.0 / inputs), (outputs, inputs)).astype(np.float32)
        self.b = np.zeros(outputs, np.float32)

    def forward(self, x):
        self.x = x
        return x @ self.w.T + self.b

    def backward(self, g):
        self.grads = [g.T @ self.x, g.sum(0)]
        return g @ self.w


class Conv:
    def __init__(self, rng, channels, outputs, kernel, padding):
        self.kernel, self.padding = kernel, padding
        self.w = rng.normal(0, np.sqrt(2.0 / (channels * kernel**2)), (outputs, channels, kernel, kernel)).astype(np.float32)
        self.b = np.zeros(outputs, np.float32)

    def forward(self, x):
        p, k = self.padding, self.kernel
        self.x = np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)))
        windows = np.lib.stride_tricks.sliding_window_view(self.x, (k, k), (2, 3))
        n, c, h, w = windows.shape[:4]
        self.cols = windows.transpose(0, 2, 3, 1, 4, 5).reshape(n * h * w, c * k * k)
        out = self.cols @ self.w.reshape(len(self.w), -1).T + self.b
        return out.reshape(n, h, w, -1).transpose(0, 3, 1, 2)

    def backward(self, g):
        n, o, h, w = g.shape
        flat = g.transpose(0, 2, 3, 1).reshape(-1, o)
        self.grads = [(flat.T @ self.cols).reshape(self.w.shape), flat.sum(0)]
        k, p = self.kernel, self.padding
        back = (flat @ self.w.reshape(o, -1)).reshape(n, h, w, -1, k, k)
        x = np.zeros_like(self.x)
        for dy in range(k):
            for dx in range(k):
                x[:, :, dy : dy + h, dx : dx + w] += back[:, :, :, :, dy, dx].transpose(0, 3, 1, 2)
        return x[:, :, p : x.shape[2] - p, p : x.shape[3] - p] if p else x


class Relu:
    def forward(self, x):
        self.on = x > 0
        return x * self.on

    def backward(self, g):
        return g * self.on


class Pool:
    def forward(self, x):
        n, c, h, w = x.shape
        return x.reshape(n, c, h // 2, 2, w // 2, 2).mean((3, 5))

    def backward(self, g):
        return np.repeat(np.repeat(g, 2, 2), 2, 3) / 4


class Flatten:
    def forward(self, x):
        self.shape = x.shape
        return x.reshape(len(x), -1)

    def backward(self, g):
        return g.reshape(self.shape)


def train(layers, images, labels, rng, epochs):
    """Adam on the cross entropy, with a rate that falls to nothing."""
    weights = [layer for layer in layers if hasattr(layer, "w")]
    state = [[np.zeros_like(part) for part in (layer.w, layer.b)] * 2 for layer in weights]
    steps, batch = 0, 64
    total = epochs * (len(images) // batch)
    for _ in range(epochs):
        order = rng.permutation(len(images))
        for start in range(0, len(order) - batch + 1, batch):
            rows = order[start : start + batch]
            x = images[rows]
            for layer in layers:
                x = layer.forward(x)
            x = np.exp(x - x.max(1, keepdims=True))
            g = x / x.sum(1, keepdims=True)
            g[np.arange(batch), labels[rows]] -= 1
            g = (g / batch).astype(np.float32)
            for layer in reversed(layers):
                g = layer.backward(g)
            steps += 1
            rate = 2e-3 * (1 - steps / (total + 1))
            for layer, moments in zip(weights, state):
                for index, (value, grad) in enumerate(zip((layer.w, layer.b), layer.grads)):
                    moments[index] = 0.9 * moments[index] + 0.1 * grad
                    moments[index + 2] = 0.999 * moments[index + 2] + 0.001 * grad**2
                    mean, square = moments[index] / (1 - 0.9**steps), moments[index + 2] / (1 - 0.999**steps)
                    value -= rate * mean / (np.sqrt(square) + 1e-8)


def accuracy(layers, images, labels):
    x = images
    for layer in layers:
        x = layer.forward(x)
    return float((x.argmax(1) == labels).mean())


def write(path, shape, layers, named):
    tensors = {}
    for name, layer in named.items():
        tensors[f"{name}.weight"], tensors[f"{name}.bias"] = layer.w, layer.b
    metadata = {"input": shape, "input_range": "0,255", "input_scale": repr(1 / 255), "layers": layers}
    save_file(tensors, path, metadata)


def write_onnx(path, shape, layers, named):
    """The same network as an ONNX file, if the package is there."""
    try:
        from onnx import TensorProto, helper, numpy_helper, save
    except ImportError:
        print(f"{path.name}: not written, there is no package `onnx`")
        return
    sides = [int(side) for side in shape.split(",")]
    sides = sides[:1] if sides[1:] == [1, 1] else sides
    nodes, tensors = [], []
    for index, (kind, *words) in enumerate(layer.split() for layer in layers.split(",")):
        ends = {"inputs": [f"v{index}"], "outputs": [f"v{index + 1}"], "name": f"{kind}{index}"}
        if kind in ("dense", "conv"):
            layer = named[words[0]]
            for part, array in (("weight", layer.w), ("bias", layer.b)):
                tensors.append(numpy_helper.from_array(array, f"{words[0]}.{part}"))
                ends["inputs"].append(tensors[-1].name)
        if kind == "dense":
            nodes.append(helper.make_node("Gemm", transB=1, **ends))
        elif kind == "conv":
            kernel, padding = map(int, words[1:])
            window = {"kernel_shape": [kernel] * 2, "pads": [padding] * 4, "strides": [1, 1], "dilations": [1, 1], "group": 1}
            nodes.append(helper.make_node("Conv", **window, **ends))
        elif kind == "pool":
            size = [int(words[0])] * 2
            nodes.append(helper.make_node("AveragePool", kernel_shape=size, strides=size, pads=[0] * 4, **ends))
        else:
            nodes.append(helper.make_node({"relu": "Relu", "flatten": "Flatten"}[kind], **ends))
    value = lambda name, of: helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", *of])
    graph = helper.make_graph(nodes, path.stem, [value("v0", sides)], [value(f"v{len(nodes)}", [10])], tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    helper.set_model_props(model, {"input_range": "0,255", "input_scale": repr(1 / 255)})
    save(model, path)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=pathlib.Path, required=True)
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(2026)
    (images, labels), (originals, _), (test, test_labels) = load(rng)
    images, flat_test = (images / 255).astype(np.float32), (test / 255).astype(np.float32)

    a, b, c = Dense(rng, 784, 128), Dense(rng, 128, 64), Dense(rng, 64, 10)
    mlp = [a, Relu(), b, Relu(), c]
    train(mlp, images.reshape(-1, 784), labels, rng, 8)
    print("mlp: accuracy of the float model", accuracy(mlp, flat_test.reshape(-1, 784), test_labels))
    written = ("784,1,1", "dense a,relu,dense b,relu,dense c", {"a": a, "b": b, "c": c})
    write(out / "mlp.safetensors", *written)
    write_onnx(out / "mlp.onnx", *written)

    d, e = Conv(rng, 1, 6, 5, 2), Conv(rng, 6, 16, 5, 0)
    a, b, c = Dense(rng, 400, 120), Dense(rng, 120, 84), Dense(rng, 84, 10)
    lenet = [d, Relu(), Pool(), e, Relu(), Pool(), Flatten(), a, Relu(), b, Relu(), c]
    half = len(images) // 2
    train(lenet, images[:half, None], labels[:half], rng, 3)
    print("lenet: accuracy of the float model", accuracy(lenet, flat_test[:, None], test_labels))
    names = "conv d 5 2,relu,pool 2,conv e 5 0,relu,pool 2,flatten,dense a,relu,dense b,relu,dense c"
    written = ("1,28,28", names, {"a": a, "b": b, "c": c, "d": d, "e": e})
    write(out / "lenet.safetensors", *written)
    write_onnx(out / "lenet.onnx", *written)

    (out / "calibration.u8").write_bytes(originals[:100].astype(np.uint8).tobytes())
    (out / "test.u8").write_bytes(test.astype(np.uint8).tobytes())
    (out / "test.labels").write_bytes(test_labels.astype(np.uint8).tobytes())


if __name__ == "__main__":
    main()
