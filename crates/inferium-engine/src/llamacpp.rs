//! llama.cpp as a second arithmetic: logits and hidden states are its own, everything else is ours.
//!
//! It gets the weights as they are served canonically, Q8_0, in a file that is written for it: the profile names those, and by the
//! file's own ones it would be another model by as much as honest noise.
//!
//! Honest, and never equal bit for bit: it quantises activations, adds up and keeps its cache in other ways. So it serves tolerance
//! profiles, as what most machines run. Only with the feature `llamacpp`; without it, loading says so.

#[cfg(feature = "llamacpp")]
mod answers;
#[cfg(feature = "llamacpp")]
mod compute;
mod text;
#[cfg(not(feature = "llamacpp"))]
mod without;

use crate::engine::engine_build;
use crate::gguf::Gguf;
use crate::kernel::ARITHMETIC_VERSION;
#[cfg(feature = "llamacpp")]
use answers::answer_all;
#[cfg(feature = "llamacpp")]
pub(crate) use compute::start;
use inferium_types::Digest;
pub use text::{TextModel, TextRequest};
#[cfg(not(feature = "llamacpp"))]
use without::answer_all;
#[cfg(not(feature = "llamacpp"))]
pub(crate) use without::start;

/// The pinned release of the bindings, with llama.cpp in it.
const VERSION: &str = "llama-cpp-sys-2 0.1.161";

/// What llama.cpp is started with.
#[derive(Debug)]
#[cfg_attr(not(feature = "llamacpp"), expect(dead_code, reason = "nothing is started"))]
pub(crate) struct Setup {
    pub(crate) file: Gguf,
    /// Threads that compute; more than there are idle cores are much slower, since they wait for each other busily.
    pub(crate) threads: usize,
    /// Tokens of the cache, over all sequences.
    pub(crate) kv_tokens: u32,
    /// Logits of a row, as the file's metadata say.
    pub(crate) vocab: usize,
    /// Numbers of a hidden state, as the file's metadata say.
    pub(crate) width: usize,
}

/// The build digest of engines that compute with llama.cpp.
pub(crate) fn build() -> Digest {
    let canonical = engine_build(ARITHMETIC_VERSION);
    Digest::of("inferium/llamacpp/1", &[canonical.as_bytes(), VERSION.as_bytes()])
}
