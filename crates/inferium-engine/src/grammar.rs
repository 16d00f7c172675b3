//! Grammars: which tokens may come next.
//!
//! llguidance decides, token by token, over the bytes that our tokens stand for. A matcher is made anew for every answer and shares nothing
//! with others: what it allows then follows from the grammar and the tokens before alone, on every machine.

use crate::EngineError;
use inferium_sampling::Allowed;
use llguidance::api::TopLevelGrammar;
use llguidance::toktrie::{ApproximateTokEnv, TokEnv, TokRxInfo, TokTrie};
use llguidance::{Matcher, ParserFactory};
use std::fmt;
use std::sync::{Arc, OnceLock};

#[cfg(test)]
mod tests;

/// What all grammars of a vocabulary have in common, made when the first one is needed.
#[derive(Default)]
pub(crate) struct Grammars {
    factory: OnceLock<Result<ParserFactory, String>>,
}

impl fmt::Debug for Grammars {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Grammars")
    }
}

impl Grammars {
    /// Reads a grammar, for a vocabulary of these bytes by token and these tokens that end a text.
    ///
    /// # Errors
    /// [`EngineError::Grammar`].
    pub(crate) fn read(
        &self,
        grammar: &str,
        words: impl FnOnce() -> Vec<Vec<u8>>,
        eos: &[u32],
    ) -> Result<GrammarState, EngineError> {
        let refuse = |reason: String| EngineError::Grammar { reason: first_line(&reason) };
        let factory = self.factory.get_or_init(|| factory(&words(), eos).map_err(|error| error.to_string()));
        let factory = factory.as_ref().map_err(|reason| refuse(reason.clone()))?;
        let parser = aside(|| {
            factory.create_parser(TopLevelGrammar::from_lark(grammar.to_owned())).map_err(|error| error.to_string())
        });
        let matcher = Matcher::new(Ok(parser.map_err(refuse)?));
        if let Some(reason) = matcher.get_error() {
            return Err(refuse(reason));
        }
        Ok(GrammarState { matcher, eos: eos.into() })
    }
}

/// Stack for reading a grammar, whose rules the library follows by recursion: far more than the most rules that a job may have take.
const STACK: usize = 128 * 1024 * 1024;

/// Does what takes a while, and a deep stack, where no other task waits for it.
fn aside<T: Send>(work: impl FnOnce() -> Result<T, String> + Send) -> Result<T, String> {
    let run = || {
        std::thread::scope(|scope| {
            let thread = std::thread::Builder::new().stack_size(STACK).spawn_scoped(scope, work);
            let thread = thread.map_err(|error| format!("no thread to read it on: {error}"))?;
            thread.join().unwrap_or_else(|_| Err("reading it failed".to_owned()))
        })
    };
    let flavour = tokio::runtime::Handle::try_current().map(|runtime| runtime.runtime_flavor());
    if flavour.is_ok_and(|flavour| flavour == tokio::runtime::RuntimeFlavor::MultiThread) {
        tokio::task::block_in_place(run)
    } else {
        run()
    }
}

fn factory(words: &[Vec<u8>], eos: &[u32]) -> Result<ParserFactory, Box<dyn std::error::Error + Send + Sync>> {
    let [first, ..] = eos else { return Err("no token ends a text".into()) };
    let vocab = u32::try_from(words.len())?;
    let trie = TokTrie::from(&TokRxInfo::new(vocab, *first), words).with_eos_tokens(eos);
    let env: TokEnv = Arc::new(ApproximateTokEnv::new(trie));
    let mut factory = ParserFactory::new_simple(&env)?;
    factory.quiet();
    Ok(factory)
}

/// What a client can make use of: the parser's state, which follows, is for its authors.
fn first_line(reason: &str) -> String {
    reason.lines().next().unwrap_or_default().trim().to_owned()
}

/// A grammar, as far as an answer has come.
pub(crate) struct GrammarState {
    matcher: Matcher,
    eos: Arc<[u32]>,
}

impl fmt::Debug for GrammarState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GrammarState")
    }
}

impl GrammarState {
    /// The tokens that may come next, of a vocabulary of `vocab`. After the text is complete, and after a token that was not
    /// allowed, that is the end alone.
    pub(crate) fn allowed(&mut self, vocab: usize) -> Allowed {
        match self.matcher.compute_mask_or_eos() {
            Ok(mask) if !mask.is_zero() => Allowed::from_words(mask.as_slice().to_vec()),
            Ok(_) | Err(_) => Allowed::of(self.eos.iter().copied(), vocab),
        }
    }

    /// Goes on by a token.
    pub(crate) fn push(&mut self, token: u32) {
        if !self.eos.contains(&token) {
            // A token that is not allowed leaves the matcher in its error state, from which only the end follows.
            let _ = self.matcher.consume_token(token);
        }
    }
}
