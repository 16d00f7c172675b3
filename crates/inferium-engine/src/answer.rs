//! From tokens to an answer: its text as it grows, and where it ends.
//!
//! A worker feeds it while generating, a validator while checking, so both read the same text and
//! the same end from the same tokens.

use crate::{Engine, TextStream};
use inferium_types::FinishReason;

/// An answer under way.
#[derive(Clone, Debug)]
pub struct Answer {
    stop: Vec<String>,
    tokens_max: u32,
    stream: TextStream,
    tokens: Vec<u32>,
    /// Text so far, cut before a stop string once one appeared.
    text: String,
    /// Bytes of `text` that were handed out.
    released: usize,
    finish: Option<FinishReason>,
}

impl Answer {
    /// An answer that ends at any of `stop`, or after `tokens_max` tokens.
    #[must_use]
    pub fn new(stop: &[String], tokens_max: u32) -> Self {
        Self {
            stop: stop.iter().filter(|text| !text.is_empty()).cloned().collect(),
            tokens_max,
            stream: TextStream::new(),
            tokens: Vec::new(),
            text: String::new(),
            released: 0,
            finish: None,
        }
    }

    /// Adds a token and returns the text that is certain by now: no part of it can still turn out
    /// to belong to a stop string. After the end, tokens are ignored.
    pub fn push(&mut self, engine: &dyn Engine, token: u32) -> String {
        if self.finish.is_some() {
            return String::new();
        }
        self.tokens.push(token);
        if engine.model().is_eos(token) {
            let rest = self.stream.finish();
            self.append(&rest);
            self.finish.get_or_insert(FinishReason::EndOfText);
            return self.release_all();
        }
        let piece = self.stream.push(engine, token);
        self.append(&piece);
        if self.finish.is_none() && self.tokens.len() >= usize::try_from(self.tokens_max).unwrap_or(usize::MAX) {
            let rest = self.stream.finish();
            self.append(&rest);
            self.finish.get_or_insert(FinishReason::Length);
        }
        if self.finish.is_some() {
            return self.release_all();
        }
        self.release(self.text.len().saturating_sub(self.held_back()))
    }

    /// Ends the answer where it is, since nobody waits for it any more.
    pub fn cancel(&mut self) -> String {
        if self.finish.is_none() {
            let rest = self.stream.finish();
            self.append(&rest);
            self.finish = Some(FinishReason::Cancelled);
        }
        self.release_all()
    }

    /// Why it ended, once it has.
    #[must_use]
    pub const fn finish(&self) -> Option<FinishReason> {
        self.finish
    }

    /// Tokens so far.
    #[must_use]
    pub fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    /// Text so far, a held-back end included.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    fn append(&mut self, piece: &str) {
        if piece.is_empty() {
            return;
        }
        let longest = self.stop.iter().map(String::len).max().unwrap_or(0);
        let mut from = self.text.len().saturating_sub(longest);
        while !self.text.is_char_boundary(from) {
            from = from.saturating_sub(1);
        }
        self.text.push_str(piece);
        let tail = self.text.get(from..).unwrap_or_default();
        if let Some(at) = self.stop.iter().filter_map(|stop| tail.find(stop.as_str())).min() {
            self.text.truncate(from.saturating_add(at));
            self.finish = Some(FinishReason::StopString);
        }
    }

    /// Bytes at the end of the text that may be the beginning of a stop string.
    fn held_back(&self) -> usize {
        let text = self.text.as_bytes();
        self.stop
            .iter()
            .flat_map(|stop| {
                (1..stop.len())
                    .filter(move |&size| stop.as_bytes().get(..size).is_some_and(|beginning| text.ends_with(beginning)))
            })
            .max()
            .unwrap_or(0)
    }

    fn release_all(&mut self) -> String {
        self.release(self.text.len())
    }

    fn release(&mut self, mut until: usize) -> String {
        while !self.text.is_char_boundary(until) {
            until = until.saturating_sub(1);
        }
        if until <= self.released {
            return String::new();
        }
        let piece = self.text.get(self.released..until).unwrap_or_default().to_owned();
        self.released = until;
        piece
    }
}

#[cfg(test)]
mod tests;
