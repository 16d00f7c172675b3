"""Rewrites a GGUF file of the Llama family so that its matrices are Q8_0, as our engine serves them: other engines then compute with the
profile's weights. `python3 bench/served_weights.py IN.gguf OUT.gguf`; needs `pip install gguf`.

The rule is that of `quantise_weights` in `inferium-engine/src/kernel/q8.rs`: blocks of 32, scale = largest / 127 as f16,
quants = round half away from zero (weight · (127 / largest)).
"""

import sys

import numpy as np
from gguf import GGMLQuantizationType, GGUFReader, GGUFValueType, GGUFWriter, dequantize

BLOCK = 32


def q8_0(weights):
    """float32 [rows, columns] to bytes [rows, columns / 32 · 34]."""
    blocks = np.ascontiguousarray(weights, dtype=np.float32).reshape(-1, BLOCK)
    largest = np.abs(blocks).max(axis=1, keepdims=True)
    scale = (largest / np.float32(127.0)).astype(np.float16)
    inverse = np.where(largest > 0, np.float32(127.0) / np.where(largest > 0, largest, 1), 0).astype(np.float32)
    scaled = blocks * inverse
    quants = (np.sign(scaled) * np.floor(np.abs(scaled) + np.float32(0.5))).clip(-127, 127).astype(np.int8)
    return np.concatenate([scale.view(np.uint8), quants.view(np.uint8)], axis=1).reshape(weights.shape[0], -1)


def main(source, target):
    reader = GGUFReader(source)
    architecture = reader.fields["general.architecture"].contents()
    writer = GGUFWriter(target, architecture)
    for field in reader.fields.values():
        if field.name == "general.architecture" or field.name.startswith("GGUF."):
            continue
        kind, inner = field.types[0], field.types[-1] if field.types[0] == GGUFValueType.ARRAY else None
        writer.add_key_value(field.name, field.contents(), kind, sub_type=inner)
    served = []
    for tensor in reader.tensors:
        weights = dequantize(tensor.data, tensor.tensor_type)
        if weights.ndim == 2:
            bytes_ = q8_0(weights)
            served.append((bytes_, GGMLQuantizationType.Q8_0))
        else:
            bytes_ = weights.astype(np.float32)
            served.append((bytes_, GGMLQuantizationType.F32))
        writer.add_tensor_info(tensor.name, bytes_.shape, bytes_.dtype, bytes_.nbytes, raw_dtype=served[-1][1])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for bytes_, _ in served:
        writer.write_tensor_data(bytes_)
    writer.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
