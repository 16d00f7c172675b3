"""A sentence encoder of one layer with drawn weights, in the files of sentence-transformers, and made into one of integers."""

import json
import random
import struct

from network import done

WORDS = ("sea", "hill", "tree", "road", "rain", "bird", "stone", "light")
SPECIAL = ("[CLS]", "[SEP]", "[UNK]")
WIDTH, LENGTH = 32, 12
PARTS = (
    "attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense", "intermediate.dense",
    "output.dense", "attention.output.LayerNorm", "output.LayerNorm",
)


def weights():
    """Name, shape and numbers of each tensor."""
    rng = random.Random(5)
    vocabulary = len(SPECIAL) + len(WORDS)

    def drawn(name, *shape, middle=0.0, spread=0.3):
        count = shape[0] * (shape[1] if len(shape) > 1 else 1)
        return name, shape, [middle + rng.uniform(-spread, spread) for _ in range(count)]

    tensors = [
        drawn("embeddings.word_embeddings.weight", vocabulary, WIDTH, spread=1.0),
        drawn("embeddings.position_embeddings.weight", LENGTH, WIDTH),
        drawn("embeddings.token_type_embeddings.weight", 2, WIDTH, spread=0.1),
    ]
    for name in ("embeddings.LayerNorm", *(f"encoder.layer.0.{part}" for part in PARTS)):
        is_norm = name.endswith("Norm")
        shape = (WIDTH,) if is_norm else (WIDTH, WIDTH)
        tensors.append(drawn(f"{name}.weight", *shape, middle=1.0 if is_norm else 0.0))
        tensors.append(drawn(f"{name}.bias", WIDTH, spread=0.1))
    return tensors


def safetensors(tensors):
    header, data = {}, b""
    for name, shape, numbers in tensors:
        raw = struct.pack(f"<{len(numbers)}f", *numbers)
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + data


def encoder(folder):
    """Compiles it from the floats beside it; the folder that networks serve."""
    source = folder.with_name(f"{folder.name}-floats")
    (source / "1_Pooling").mkdir(parents=True)
    vocabulary = [*SPECIAL, *WORDS]
    special = {name: {"id": name, "ids": [vocabulary.index(name)], "tokens": [name]} for name in SPECIAL[:2]}
    around = [{"SpecialToken": {"id": name, "type_id": 0}} for name in SPECIAL[:2]]
    modules = ("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize")
    files = {
        "config.json": {
            "model_type": "bert", "hidden_act": "gelu", "hidden_size": WIDTH, "num_hidden_layers": 1,
            "num_attention_heads": 2, "intermediate_size": WIDTH, "vocab_size": len(vocabulary),
            "max_position_embeddings": LENGTH, "type_vocab_size": 2, "layer_norm_eps": 1e-12,
        },
        "tokenizer.json": {
            "normalizer": {
                "type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True, "strip_accents": None,
                "lowercase": True,
            },
            "pre_tokenizer": {"type": "BertPreTokenizer"},
            "post_processor": {
                "type": "TemplateProcessing", "special_tokens": special,
                "single": [around[0], {"Sequence": {"id": "A", "type_id": 0}}, around[1]],
            },
            "model": {
                "type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
                "max_input_chars_per_word": 100, "vocab": {word: token for token, word in enumerate(vocabulary)},
            },
        },
        "modules.json": [
            {"idx": index, "path": path, "type": f"sentence_transformers.models.{kind}"}
            for index, (path, kind) in enumerate(modules)
        ],
        "sentence_bert_config.json": {"max_seq_length": LENGTH, "do_lower_case": False},
        "1_Pooling/config.json": {"pooling_mode_mean_tokens": True},
    }
    for name, content in files.items():
        (source / name).write_text(json.dumps(content))
    (source / "model.safetensors").write_bytes(safetensors(weights()))
    rng = random.Random(9)
    texts = [" ".join(rng.choices(WORDS, k=rng.randrange(1, 10))) for _ in range(40)]
    (source / "texts.txt").write_text("\n".join(texts) + "\n")
    done("exact", "compile", source, "--calibration", source / "texts.txt", "--out", folder)
    return folder
