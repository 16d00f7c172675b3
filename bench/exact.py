"""Speed of integer models beside onnxruntime and numpy, in one run: `python3 bench/exact.py [--out FILE.json]`.

Needs `cargo build --release -p inferium-exact --example speed`, and Python with `numpy onnx onnxruntime`:
python3 -m venv target/bench/exact && target/bench/exact/bin/pip install numpy onnx onnxruntime

Networks are of the same sizes with weights drawn here: only sizes matter. Ours is an exact model of 8-bit weights on one thread, in each
instruction set that the machine has. Beside it onnxruntime's float32, its static 8-bit quantisation, and numpy's float32 products (the BLAS
that its wheel brings; dense networks alone). Cases take turns in several rounds, and each figure is the median of its
rounds' medians, so that a loaded moment is nobody's alone. The ratio is time of onnxruntime's float32 by ours: above 1, ours
is faster.
"""

import argparse
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
# The layers of `synthetic.rs`: widths of a dense network, or (channels, outputs, kernel, padding) of convolutions before one.
NETWORKS = {
    "mlp-109k": ((784,), [], [784, 128, 64, 10]),
    "lenet-5": ((1, 28, 28), [(1, 6, 5, 2), (6, 16, 5, 0)], [400, 120, 84, 10]),
    "dense-4m": ((1024,), [], [1024, 1024, 1024, 1024, 512, 512, 10]),
    "cnn-264k": ((3, 32, 32), [(3, 16, 5, 0), (16, 32, 5, 0)], [800, 256, 168, 10]),
}
BATCHES = (1, 32)


def draw(rng, *shape):
    fan = 1
    for side in shape[1:]:
        fan *= side
    return (rng.uniform(-1, 1, shape) * (3 / fan) ** 0.5).astype("float32")


def network(name, rng):
    """An ONNX model of these sizes, and the weights of its dense layers."""
    from onnx import TensorProto, helper, numpy_helper

    shape, convolutions, widths = NETWORKS[name]
    nodes, tensors, dense, last = [], [], [], "input"

    def add(op, inputs, **attributes):
        nonlocal last
        result = f"v{len(nodes)}"
        nodes.append(helper.make_node(op, [last, *inputs], [result], name=f"n{len(nodes)}", **attributes))
        last = result

    def tensor(array):
        tensors.append(numpy_helper.from_array(array, f"t{len(tensors)}"))
        return tensors[-1].name

    for channels, outputs, kernel, padding in convolutions:
        weights = [tensor(draw(rng, outputs, channels, kernel, kernel)), tensor(draw(rng, outputs, 64)[:, 0].copy())]
        add("Conv", weights, kernel_shape=[kernel] * 2, pads=[padding] * 4, strides=[1, 1], dilations=[1, 1], group=1)
        add("Relu", [])
        add("AveragePool", [], kernel_shape=[2, 2], strides=[2, 2])
    if convolutions:
        add("Flatten", [], axis=1)
    for index, (inputs, outputs) in enumerate(zip(widths, widths[1:])):
        dense.append((draw(rng, outputs, inputs), draw(rng, outputs, 64)[:, 0].copy()))
        add("Gemm", [tensor(part) for part in dense[-1]], transB=1)
        if index < len(widths) - 2:
            add("Relu", [])
    ends = [helper.make_tensor_value_info(end, TensorProto.FLOAT, ["n", *of]) for end, of in (("input", shape), (last, [widths[-1]]))]
    graph = helper.make_graph(nodes, name, ends[:1], ends[1:], tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), dense


def session(path, threads):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    if threads:
        options.intra_op_num_threads = options.inter_op_num_threads = threads
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def quantise(path, name, rng):
    """The file of the same network in onnxruntime's 8 bits: weights by channel, activations not negative, as ours."""
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Inputs(CalibrationDataReader):
        def __init__(self):
            self.rows = iter([{"input": rng.uniform(0, 1, (4, *NETWORKS[name][0])).astype("float32")}])

        def get_next(self):
            return next(self.rows, None)

    out = path.with_suffix(".int8.onnx")
    quantize_static(path, out, Inputs(), quant_format=QuantFormat.QDQ, per_channel=True,
                    activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8)
    return out


def measure(call, seconds):
    """Median of calls in microseconds, after a tenth of the time that is not counted."""
    end = time.perf_counter() + seconds / 10
    while time.perf_counter() < end:
        call()
    times, end = [], time.perf_counter() + seconds
    while time.perf_counter() < end or len(times) < 5:
        begin = time.perf_counter()
        call()
        times.append(time.perf_counter() - begin)
    return statistics.median(times) * 1e6


def numpy_call(dense, value):
    import numpy as np

    def call():
        x = value
        for index, (weights, biases) in enumerate(dense):
            x = x @ weights.T + biases
            x = np.maximum(x, 0) if index < len(dense) - 1 else x
        return x

    return call


def others(folder, seconds):
    """Cases of everything that is not ours: ((model, batch, engine), a function that measures it)."""
    import numpy as np

    rng = np.random.default_rng(2026)
    import onnx

    for name in NETWORKS:
        model, dense = network(name, rng)
        path = folder / f"{name}.onnx"
        onnx.save(model, path)
        small = quantise(path, name, rng)
        # One thread is what ours has; the default is one for each core.
        engines = {"ort f32, 1 thread": (path, 1), "ort f32": (path, 0), "ort int8, 1 thread": (small, 1)}
        sessions = {engine: session(*how) for engine, how in engines.items()}
        for batch in BATCHES:
            value = rng.uniform(0, 1, (batch, *NETWORKS[name][0])).astype("float32")
            for engine, one in sessions.items():
                yield (name, batch, engine), lambda one=one, value=value: measure(lambda: one.run(None, {"input": value}), seconds)
            if len(NETWORKS[name][0]) == 1:
                call = numpy_call(dense, value)
                yield (name, batch, "numpy f32"), lambda call=call: measure(call, seconds)


def ours(binary, seconds):
    done = subprocess.run([str(binary), str(int(seconds * 1000))], check=True, capture_output=True, text=True)
    for line in done.stdout.splitlines():
        row = json.loads(line)
        yield (row["model"], row["batch"], f"exact {row['tier']}"), row["microseconds"]


def print_table(found):
    engines = list(dict.fromkeys(engine for _, _, engine in found))
    fastest = [engine for engine in engines if engine.startswith("exact")][-1]
    ratios = ["ort f32, 1 thread", "ort f32", "ort int8, 1 thread"]
    heads = ["model", "batch", *engines, *(f"{fastest} against {engine}" for engine in ratios)]
    print("| " + " | ".join(heads) + " |\n|" + " --- |" * len(heads))
    for name in NETWORKS:
        for batch in BATCHES:
            times = [found.get((name, batch, engine)) for engine in engines]
            own = found[(name, batch, fastest)]
            cells = ["–" if one is None else f"{one:.1f}" for one in times]
            cells += [f"{found[(name, batch, engine)] / own:.2f}x" for engine in ratios]
            print(f"| {name} | {batch} | " + " | ".join(cells) + " |")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--speed", type=pathlib.Path, help="the example's binary",
                        default=pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release/examples/speed")
    parser.add_argument("--seconds", type=float, default=0.3, help="of each case in each round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=pathlib.Path, help="JSON of all figures")
    arguments = parser.parse_args()
    # numpy's BLAS reads this when it is loaded; onnxruntime has threads of its own.
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    samples = {}
    with tempfile.TemporaryDirectory() as folder:
        cases = list(others(pathlib.Path(folder), arguments.seconds))
        for turn in range(arguments.rounds):
            for case, microseconds in ours(arguments.speed, arguments.seconds):
                samples.setdefault(case, []).append(microseconds)
            for case, call in cases:
                samples.setdefault(case, []).append(call())
            print(f"round {turn + 1} of {arguments.rounds}, load {os.getloadavg()[0]:.1f}", file=sys.stderr)
    found = {case: statistics.median(times) for case, times in samples.items()}
    print(f"Microseconds a call with the whole batch; medians of {arguments.rounds} rounds; {os.cpu_count()} cores.\n")
    print_table(found)
    if arguments.out:
        rows = [{"model": name, "batch": batch, "engine": engine, "microseconds": samples[(name, batch, engine)]} for name, batch, engine in samples]
        document = {"cores": os.cpu_count(), "machine": platform.machine(), "python": platform.python_version(), "rows": rows}
        arguments.out.write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
