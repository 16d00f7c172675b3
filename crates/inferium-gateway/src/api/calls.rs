//! Reading an answer as it comes: text, or calls of tools.

use super::tools::{CALL_CLOSE, CALL_MIDDLE, CALL_OPEN};

/// What an answer's text turned out to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece {
    /// Text for people.
    Content(String),
    /// A call of the tool of this name begins.
    Call(String),
    /// More of the last call's arguments.
    Arguments(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Text and calls begin alike.
    Undecided,
    Content,
    Name,
    Arguments,
    Between,
}

/// Reads one answer.
#[derive(Debug)]
pub(super) struct CallReader {
    state: State,
    /// Text whose meaning is not certain yet.
    held: String,
    /// Calls that began.
    pub(super) calls: usize,
}

impl CallReader {
    /// Of an answer that may hold calls, or only text.
    pub(super) const fn new(may_call: bool) -> Self {
        Self { state: if may_call { State::Undecided } else { State::Content }, held: String::new(), calls: 0 }
    }

    /// Adds text; returns what is certain by now.
    pub(super) fn push(&mut self, text: &str) -> Vec<Piece> {
        self.held.push_str(text);
        let mut pieces = Vec::new();
        while self.step(&mut pieces) {}
        pieces
    }

    /// One step; false when more text is needed.
    fn step(&mut self, pieces: &mut Vec<Piece>) -> bool {
        match self.state {
            State::Content => {
                if !self.held.is_empty() {
                    pieces.push(Piece::Content(std::mem::take(&mut self.held)));
                }
                false
            }
            State::Undecided => self.open(CALL_OPEN, State::Content),
            State::Between => {
                // Nothing but another call follows a call.
                let rest = self.held.trim_start_matches('\n').len();
                self.held.drain(..self.held.len() - rest);
                self.open(CALL_OPEN, State::Between)
            }
            State::Name => {
                let Some((name, rest)) = self.held.split_once(CALL_MIDDLE) else { return false };
                pieces.push(Piece::Call(name.to_owned()));
                self.held = rest.to_owned();
                self.calls += 1;
                self.state = State::Arguments;
                true
            }
            State::Arguments => {
                if let Some((arguments, rest)) = self.held.split_once(CALL_CLOSE) {
                    pieces.push(Piece::Arguments(arguments.to_owned()));
                    self.held = rest.to_owned();
                    self.state = State::Between;
                    return true;
                }
                let certain = self.held.len() - beginning(&self.held, CALL_CLOSE);
                if certain > 0 {
                    pieces.push(Piece::Arguments(self.held.drain(..certain).collect()));
                }
                false
            }
        }
    }

    /// Takes `word` off the beginning and goes on to a name; to `otherwise` if something else stands there.
    fn open(&mut self, word: &str, otherwise: State) -> bool {
        if self.held.starts_with(word) {
            self.held.drain(..word.len());
            self.state = State::Name;
            return true;
        }
        if word.starts_with(&self.held) || self.state == otherwise {
            return false;
        }
        self.state = otherwise;
        true
    }

    /// What is left when nothing more comes.
    pub(super) fn finish(&mut self) -> Option<Piece> {
        let held = std::mem::take(&mut self.held);
        match self.state {
            _ if held.is_empty() => None,
            State::Undecided | State::Content => Some(Piece::Content(held)),
            State::Arguments => Some(Piece::Arguments(held)),
            // Cut off before it was one.
            State::Name | State::Between => None,
        }
    }
}

/// Bytes at the end of `text` that `word` may begin with.
fn beginning(text: &str, word: &str) -> usize {
    (1..word.len()).rev().find(|&size| word.get(..size).is_some_and(|part| text.ends_with(part))).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::super::tools::written;
    use super::*;

    /// What an answer is read as, given in pieces of `size` characters; content and arguments joined.
    fn read(text: &str, size: usize) -> Vec<Piece> {
        let mut reader = CallReader::new(true);
        let mut pieces: Vec<Piece> = Vec::new();
        let chars: Vec<char> = text.chars().collect();
        let parts: Vec<Piece> =
            chars.chunks(size).flat_map(|part| reader.push(&part.iter().collect::<String>())).collect();
        for piece in parts.into_iter().chain(reader.finish()) {
            match (pieces.last_mut(), piece) {
                (Some(Piece::Content(so_far)), Piece::Content(more))
                | (Some(Piece::Arguments(so_far)), Piece::Arguments(more)) => so_far.push_str(&more),
                (_, piece) => pieces.push(piece),
            }
        }
        pieces
    }

    fn call(name: &str, arguments: &str) -> [Piece; 2] {
        [Piece::Call(name.into()), Piece::Arguments(arguments.into())]
    }

    #[test]
    fn answers_are_read_the_same_in_pieces_of_any_size() {
        let one = written("look", r#"{"a": "}", "b": {"c": 1}}"#);
        let two = format!("{one}\n{}", written("go", "{}"));
        let cases = [
            ("Hello <b>you</b>".to_owned(), vec![Piece::Content("Hello <b>you</b>".into())]),
            ("<tool_box>".to_owned(), vec![Piece::Content("<tool_box>".into())]),
            ("<tool_call>\n".to_owned(), vec![Piece::Content("<tool_call>\n".into())]),
            (String::new(), vec![]),
            (one.clone(), call("look", r#"{"a": "}", "b": {"c": 1}}"#).to_vec()),
            (two, [call("look", r#"{"a": "}", "b": {"c": 1}}"#), call("go", "{}")].concat()),
            // Cut off by a limit: as far as it came.
            (one[..one.len() - 20].to_owned(), call("look", r#"{"a": "}", "b": {"c"#).to_vec()),
            (one[..30].to_owned(), vec![]),
        ];
        for (text, expected) in cases {
            for size in [1, 2, 3, 7, 1_000] {
                assert_eq!(read(&text, size), expected, "{text} by {size}");
            }
        }
    }

    #[test]
    fn what_can_hold_no_call_is_text() {
        let mut reader = CallReader::new(false);
        let text = written("look", "{}");
        assert_eq!(reader.push(&text), [Piece::Content(text)]);
        assert_eq!((reader.finish(), reader.calls), (None, 0));
    }
}
