//! Text from tokens as they come.

use crate::Engine;

#[cfg(test)]
mod tests;

/// Turns tokens into pieces of text, holding back the beginning of a character until its end has come.
///
/// The pieces, with [`TextStream::finish`] at the end, concatenate to exactly what [`Engine::decode`] gives for all tokens.
///
/// ```
/// use inferium_engine::{Engine, MockEngine, MockOptions, TextStream};
///
/// let engine = MockEngine::new(MockOptions::default());
/// let mut stream = TextStream::new();
/// let mut text = String::new();
/// for token in engine.encode("é!")? {
///     text.push_str(&stream.push(&engine, token));
/// }
/// text.push_str(&stream.finish());
/// assert_eq!(text, "é!");
/// # Ok::<(), inferium_engine::EngineError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct TextStream {
    /// The beginning of a character that is still incomplete: at most 3 bytes.
    pending: Vec<u8>,
}

impl TextStream {
    /// A stream at its beginning.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a token and returns the text that is complete by now; may be empty.
    #[must_use]
    pub fn push(&mut self, engine: &dyn Engine, token: u32) -> String {
        self.push_bytes(engine.token_bytes(token))
    }

    /// Adds bytes and returns the text that is complete by now; may be empty.
    #[must_use]
    pub fn push_bytes(&mut self, bytes: &[u8]) -> String {
        self.pending.extend_from_slice(bytes);
        let mut text = String::new();
        let mut rest: &[u8] = &self.pending;
        loop {
            match std::str::from_utf8(rest) {
                Ok(valid) => {
                    text.push_str(valid);
                    rest = &[];
                    break;
                }
                Err(error) => {
                    let (valid, invalid) = rest.split_at(error.valid_up_to());
                    text.push_str(&String::from_utf8_lossy(valid));
                    rest = invalid;
                    let Some(wrong) = error.error_len() else {
                        break;
                    };
                    text.push(char::REPLACEMENT_CHARACTER);
                    rest = &rest[wrong..];
                }
            }
        }
        self.pending = rest.to_vec();
        text
    }

    /// Ends the stream: a character that never became complete turns into U+FFFD.
    #[must_use]
    pub fn finish(&mut self) -> String {
        let rest = std::mem::take(&mut self.pending);
        String::from_utf8_lossy(&rest).into_owned()
    }
}
