//! A streamed answer: from chunks of JSON to tokens, or to an error that says what is wrong with them.

use super::ServerError;
use super::events::Events;
use inferium_engine::Engine;
use serde_json::Value;
use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

/// The longest answer; bytes of text.
const TEXT_MAX: usize = 8 << 20;
/// Text without ids waits for the end of a word up to this; bytes. Chinese, digits or one line of a program have none.
const WORD_MAX: usize = 96;
/// Of longer text so many tokens wait: what follows may still change them.
const WAITING_TOKENS: usize = 8;
/// The most text that waits for anything; bytes.
const UNREAD_MAX: usize = 4_096;

/// A part of an answer.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Piece {
    /// The next tokens, all of the model's vocabulary.
    Tokens(Vec<u32>),
    /// The model ended the answer.
    Ended,
    /// It was as long as it might be.
    Length,
}

/// Without the tokens: they are a client's text.
impl fmt::Debug for Piece {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tokens(tokens) => write!(f, "Tokens({})", tokens.len()),
            Self::Ended => f.write_str("Ended"),
            Self::Length => f.write_str("Length"),
        }
    }
}

/// An answer under way.
pub(crate) struct Pieces<'a> {
    response: reqwest::Response,
    silence: Duration,
    events: Events,
    reader: Reader<'a>,
}

impl<'a> Pieces<'a> {
    pub(super) fn new(response: reqwest::Response, silence: Duration, has_ids: bool, engine: &'a dyn Engine) -> Self {
        Self { response, silence, events: Events::default(), reader: Reader::new(has_ids, engine) }
    }

    /// The next part; after an end nothing more is to be asked.
    ///
    /// # Errors
    /// [`ServerError`]: the rest of the answer can't be had.
    pub(crate) async fn next(&mut self) -> Result<Piece, ServerError> {
        let after = self.silence;
        tokio::time::timeout(after, self.read()).await.map_err(|_| ServerError::Silent { after })?
    }

    /// Comments that keep a connection open are no sign of life.
    async fn read(&mut self) -> Result<Piece, ServerError> {
        loop {
            if let Some(piece) = self.reader.ready.pop_front() {
                return Ok(piece);
            }
            let bytes = self.response.chunk().await?.ok_or(ServerError::Truncated)?;
            for data in self.events.push(&bytes)? {
                self.reader.event(&data)?;
            }
        }
    }
}

/// From the data of events to pieces.
struct Reader<'a> {
    engine: &'a dyn Engine,
    has_ids: bool,
    ready: VecDeque<Piece>,
    is_over: bool,
    /// The server's text: all of it, or what is not read as tokens yet.
    text: String,
    /// The bytes that its ids spell.
    spelled: Vec<u8>,
    /// So many bytes of both are the same.
    compared: usize,
}

impl<'a> Reader<'a> {
    const fn new(has_ids: bool, engine: &'a dyn Engine) -> Self {
        Self {
            engine,
            has_ids,
            ready: VecDeque::new(),
            is_over: false,
            text: String::new(),
            spelled: Vec::new(),
            compared: 0,
        }
    }

    fn event(&mut self, data: &str) -> Result<(), ServerError> {
        if self.is_over {
            return Ok(());
        }
        if data.trim() == "[DONE]" {
            return Err(ServerError::Truncated);
        }
        let chunk: Value = serde_json::from_str(data).map_err(|_| ServerError::Broken { what: "no JSON" })?;
        if chunk.get("error").is_some_and(|error| !error.is_null()) {
            return Err(ServerError::Broken { what: "an error in place of the answer" });
        }
        let choices = chunk.get("choices").and_then(Value::as_array);
        let choices = choices.ok_or(ServerError::Broken { what: "no choices" })?;
        // The count at the end has none.
        let Some(choice) = choices.first() else { return Ok(()) };
        match choice.pointer("/delta/content") {
            None | Some(Value::Null) => {}
            Some(Value::String(more)) if self.text.len().saturating_add(more.len()) > TEXT_MAX => {
                return Err(ServerError::Broken { what: "an answer without end" });
            }
            Some(Value::String(more)) => self.text.push_str(more),
            Some(_) => return Err(ServerError::Broken { what: "content that is no text" }),
        }
        if self.has_ids {
            self.take_ids(choice)?;
        } else {
            self.take_words()?;
            self.take_part()?;
        }
        match choice.get("finish_reason") {
            None | Some(Value::Null) => Ok(()),
            Some(reason) => self.end(reason.as_str()),
        }
    }

    /// The ids that came, in the vocabulary and spelling the text.
    fn take_ids(&mut self, choice: &Value) -> Result<(), ServerError> {
        let vocab_size = self.engine.model().vocab_size;
        let known = |id: u64| match u32::try_from(id) {
            Ok(token) if token < vocab_size => Ok(token),
            _ => Err(ServerError::UnknownToken { token: id, vocab_size }),
        };
        let ids = ids_of(choice)?.unwrap_or_default();
        let tokens = ids.into_iter().map(known).collect::<Result<Vec<u32>, ServerError>>()?;
        for token in &tokens {
            self.spelled.extend_from_slice(self.engine.token_bytes(*token));
        }
        self.compare()?;
        self.hand_out(tokens);
        Ok(())
    }

    fn hand_out(&mut self, tokens: Vec<u32>) {
        if !tokens.is_empty() {
            self.ready.push_back(Piece::Tokens(tokens));
        }
    }

    /// As far as there are both, text and ids say the same. A character that was cut is where servers differ: from there on
    /// the ids alone count.
    fn compare(&mut self) -> Result<(), ServerError> {
        let until = self.text.find(char::REPLACEMENT_CHARACTER).unwrap_or(self.text.len()).min(self.spelled.len());
        let part = self.compared..until.max(self.compared);
        if self.text.as_bytes().get(part.clone()) != self.spelled.get(part) {
            return Err(ServerError::OtherText);
        }
        self.compared = until.max(self.compared);
        Ok(())
    }

    /// Reads the words that are complete: before a single space no tokenizer's word goes on.
    fn take_words(&mut self) -> Result<(), ServerError> {
        let is_dark = |character: Option<char>| character.is_some_and(|character| !character.is_whitespace());
        let ends = |at: &usize| {
            let (before, after) = self.text.split_at(*at);
            is_dark(before.chars().next_back()) && is_dark(after.chars().nth(1))
        };
        let end = self.text.rmatch_indices(' ').map(|(at, _)| at).find(ends);
        end.map_or(Ok(()), |end| self.write(end))
    }

    /// Reads text that has no such place: all but its last tokens, which later text may change, up to the end of a character.
    fn take_part(&mut self) -> Result<(), ServerError> {
        if self.text.len() <= WORD_MAX {
            return Ok(());
        }
        let mut tokens = self.engine.encode(&self.text)?;
        let settled = tokens.len().saturating_sub(WAITING_TOKENS);
        let (mut at, mut end, mut count) = (0_usize, 0, 0);
        for (before, token) in tokens.iter().take(settled).enumerate() {
            let bytes = self.engine.token_bytes(*token);
            if !self.text.as_bytes().get(at..).is_some_and(|rest| rest.starts_with(bytes)) {
                break;
            }
            at = at.saturating_add(bytes.len());
            if at > end && self.text.is_char_boundary(at) {
                (end, count) = (at, before.saturating_add(1));
            }
        }
        if end == 0 {
            // No tokenizer of ours comes here; what is read again and again must stay short.
            return if self.text.len() > UNREAD_MAX { self.write(self.text.len()) } else { Ok(()) };
        }
        tokens.truncate(count);
        self.text.drain(..end);
        self.hand_out(tokens);
        Ok(())
    }

    /// Tokens of the first bytes of the text.
    fn write(&mut self, bytes: usize) -> Result<(), ServerError> {
        let rest = self.text.split_off(bytes);
        let words = std::mem::replace(&mut self.text, rest);
        let tokens = self.engine.encode(&words)?;
        if self.engine.decode(&tokens) != words {
            return Err(ServerError::Unwritable);
        }
        self.hand_out(tokens);
        Ok(())
    }

    fn end(&mut self, reason: Option<&str>) -> Result<(), ServerError> {
        let piece = match reason {
            Some("stop") => Piece::Ended,
            Some("length") => Piece::Length,
            _ => return Err(ServerError::Ended),
        };
        if !self.has_ids {
            self.write(self.text.len())?;
        } else if self.text.len() > self.spelled.len() && !self.text.contains(char::REPLACEMENT_CHARACTER) {
            return Err(ServerError::OtherText);
        }
        self.is_over = true;
        self.ready.push_back(piece);
        Ok(())
    }
}

/// The ids of the tokens that a choice holds, from where vLLM puts them: `token_ids`, or in older ones the log probabilities'
/// `token` as `token_id:7`. `None` where there are none.
///
/// llama-server's `id` beside the log probabilities is none of them: of a character that is several tokens it names the last
/// only, so that they do not spell the text.
pub(super) fn ids_of(choice: &Value) -> Result<Option<Vec<u64>>, ServerError> {
    let broken = ServerError::Broken { what: "a token id that is no number" };
    if let Some(ids) = choice.get("token_ids").and_then(Value::as_array).filter(|ids| !ids.is_empty()) {
        let ids: Option<Vec<u64>> = ids.iter().map(Value::as_u64).collect();
        return ids.map(Some).ok_or(broken);
    }
    let Some(content) = choice.pointer("/logprobs/content").and_then(Value::as_array) else { return Ok(None) };
    let id_of = |entry: &Value| entry.get("token")?.as_str()?.strip_prefix("token_id:")?.parse().ok();
    let ids: Vec<u64> = content.iter().filter_map(id_of).collect();
    match ids.len() {
        0 => Ok(None),
        count if count == content.len() => Ok(Some(ids)),
        _ => Err(broken),
    }
}

#[cfg(test)]
mod tests;
