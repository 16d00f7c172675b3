//! Chat templates, safe against special tokens inside messages.

use super::Tokenizer;
use super::tokenizer::Piece;
use crate::{EngineError, LoadError};
use inferium_types::{ChatMessage, Digest};
use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, Error, ErrorKind, Value, context};

#[cfg(test)]
mod tests;

/// The character around the placeholders for special tokens' spellings inside messages: from the private use area, which
/// templates neither trim nor test for.
const MARK: char = '\u{F8FF}';

/// What is used if a file brings no template.
const CHATML: &str = "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + \
    '<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";

/// A model's chat template.
#[derive(Debug)]
pub(crate) struct ChatTemplate {
    environment: Environment<'static>,
    bos: String,
    eos: String,
    source: String,
    hash: Digest,
}

impl ChatTemplate {
    /// Compiles a template; `None` means ChatML.
    pub(crate) fn new(source: Option<&str>, bos: &str, eos: &str) -> Result<Self, LoadError> {
        let source = source.unwrap_or(CHATML);
        let mut environment = Environment::new();
        environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        // As in the reference implementation of chat templates.
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
        environment.set_syntax(syntax.map_err(|error| LoadError::Tokenizer { reason: error.to_string() })?);
        environment.add_function("raise_exception", |reason: String| -> Result<String, Error> {
            Err(Error::new(ErrorKind::InvalidOperation, reason))
        });
        // Results must not depend on the day: every node renders the same text.
        environment.add_function("strftime_now", |_format: String| String::from("2026-01-01"));
        environment
            .add_template_owned("chat", source.to_owned())
            .map_err(|error| LoadError::Tokenizer { reason: format!("chat template: {error}") })?;
        let hash = Digest::from(*blake3::hash(source.as_bytes()).as_bytes());
        Ok(Self { environment, bos: bos.to_owned(), eos: eos.to_owned(), source: source.to_owned(), hash })
    }

    pub(crate) fn source(&self) -> &str {
        &self.source
    }

    pub(crate) fn hash(&self) -> Digest {
        self.hash
    }

    /// The tokens of a chat, up to where the assistant's answer begins.
    pub(crate) fn encode(&self, tokenizer: &Tokenizer, messages: &[ChatMessage]) -> Result<Vec<u32>, EngineError> {
        let escape = Escape::new(tokenizer);
        let escaped: Vec<(String, String)> =
            messages.iter().map(|message| (escape.hide(&message.role), escape.hide(&message.content))).collect();
        let rendered = self.render(&escaped).map_err(|error| EngineError::Text { reason: error.to_string() })?;
        let mut tokens = Vec::new();
        for piece in tokenizer.split_special(&rendered) {
            match piece {
                Piece::Special(id) => tokens.push(id),
                Piece::Text(text) => tokens.extend(tokenizer.encode(&escape.reveal(text))?),
            }
        }
        Ok(tokens)
    }

    fn render(&self, messages: &[(String, String)]) -> Result<String, Error> {
        let messages: Vec<Value> =
            messages.iter().map(|(role, content)| context! { role => role, content => content }).collect();
        self.environment.get_template("chat")?.render(context! {
            messages => messages,
            add_generation_prompt => true,
            bos_token => self.bos.clone(),
            eos_token => self.eos.clone(),
        })
    }
}

/// Hides special tokens' spellings from the splitter, and brings them back as plain text.
struct Escape<'a> {
    /// What is hidden; the first is the mark itself. Longer spellings come before those they contain.
    hidden: Vec<&'a str>,
}

impl<'a> Escape<'a> {
    fn new(tokenizer: &'a Tokenizer) -> Self {
        let mut hidden: Vec<&str> = tokenizer.specials().filter(|spelling| !spelling.is_empty()).collect();
        hidden.sort_by(|a, b| b.len().cmp(&a.len()).then(a.cmp(b)));
        Self { hidden }
    }

    fn hide(&self, text: &str) -> String {
        let mut text = text.replace(MARK, &placeholder("m"));
        for (index, spelling) in self.hidden.iter().enumerate() {
            if text.contains(spelling) {
                text = text.replace(spelling, &placeholder(&index.to_string()));
            }
        }
        text
    }

    fn reveal(&self, text: &str) -> String {
        if !text.contains(MARK) {
            return text.to_owned();
        }
        let mut out = String::new();
        // Placeholders are pairs of marks, so that every second part is a name.
        for (index, part) in text.split(MARK).enumerate() {
            if index % 2 == 0 {
                out.push_str(part);
            } else if part == "m" {
                out.push(MARK);
            } else if let Some(spelling) = part.parse::<usize>().ok().and_then(|index| self.hidden.get(index)) {
                out.push_str(spelling);
            }
        }
        out
    }
}

fn placeholder(name: &str) -> String {
    format!("{MARK}{name}{MARK}")
}
