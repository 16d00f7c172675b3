//! From text to tokens and back: tokenizer, chat template, stream of text.

mod chat;
mod stream;
mod tokenizer;

pub(crate) use chat::ChatTemplate;
pub use stream::TextStream;
pub(crate) use tokenizer::Tokenizer;
