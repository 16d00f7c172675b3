//! Texts in passages: paragraphs, joined while they are short, cut where they are long.

/// Characters of a passage at most: what small embedders read whole, 256 tokens of English.
const PASSAGE_CHARS_MAX: usize = 1_000;

/// A part of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Passage {
    pub(super) path: String,
    /// From 1.
    pub(super) first_line: usize,
    pub(super) last_line: usize,
    pub(super) text: String,
}

/// The passages of a text: every line that is not blank is in one, in order.
pub(super) fn passages(path: &str, text: &str) -> Vec<Passage> {
    let mut all: Vec<Passage> = Vec::new();
    for paragraph in paragraphs(path, text) {
        match all.last_mut() {
            Some(last) if !is_heading(&paragraph.text) && chars(last) + chars(&paragraph) < PASSAGE_CHARS_MAX => {
                last.text.push_str("\n\n");
                last.text.push_str(&paragraph.text);
                last.last_line = paragraph.last_line;
            }
            _ => all.push(paragraph),
        }
    }
    all
}

/// Lines between blank ones; of one that is too long, as many lines or characters as fit.
fn paragraphs(path: &str, text: &str) -> Vec<Passage> {
    let mut all: Vec<Passage> = Vec::new();
    let mut is_open = false;
    for (index, line) in text.lines().enumerate() {
        let number = index.saturating_add(1);
        is_open &= !line.trim().is_empty();
        if line.trim().is_empty() {
            continue;
        }
        for piece in pieces(line.trim_end()) {
            match all.last_mut() {
                Some(last) if is_open && chars(last) + piece.chars().count() < PASSAGE_CHARS_MAX => {
                    last.text.push('\n');
                    last.text.push_str(piece);
                    last.last_line = number;
                }
                _ => {
                    let (path, text) = (path.to_owned(), piece.to_owned());
                    all.push(Passage { path, first_line: number, last_line: number, text });
                }
            }
            is_open = true;
        }
    }
    all
}

/// A line in pieces that fit.
fn pieces(mut line: &str) -> Vec<&str> {
    let mut all = Vec::new();
    while let Some((end, _)) = line.char_indices().nth(PASSAGE_CHARS_MAX) {
        // At the last blank that leaves a piece of some length, so that words stay whole.
        let head = line.get(..end).unwrap_or(line);
        let end = head.rfind(' ').filter(|blank| *blank > end / 2).unwrap_or(end);
        let (piece, rest) = line.split_at(end);
        all.push(piece);
        line = rest.trim_start();
    }
    if !line.is_empty() {
        all.push(line);
    }
    all
}

/// True if a paragraph begins a part of its own, in Markdown.
fn is_heading(text: &str) -> bool {
    text.starts_with('#')
}

fn chars(passage: &Passage) -> usize {
    passage.text.chars().count()
}

#[cfg(test)]
mod tests {
    use super::{PASSAGE_CHARS_MAX, passages};

    fn spans(text: &str) -> Vec<(usize, usize, String)> {
        passages("a.md", text).into_iter().map(|p| (p.first_line, p.last_line, p.text)).collect()
    }

    #[test]
    fn short_paragraphs_are_joined_and_headings_begin_anew() {
        let text = "# One\n\nfirst\nline\n\n\nsecond  \n\n# Two\nthird\n";
        let expected = [(1, 7, "# One\n\nfirst\nline\n\nsecond"), (9, 10, "# Two\nthird")];
        assert_eq!(spans(text), expected.map(|(first, last, text)| (first, last, text.to_owned())));
        assert!(spans("").is_empty());
        assert!(spans(" \n\n\t\n").is_empty());
    }

    #[test]
    fn nothing_is_lost_of_what_is_too_long() {
        let line: String = (0..900).map(|n| format!("word{n} ")).collect();
        let text = format!("{line}\n{line}\n\n{}", "ä".repeat(2_500));
        let all = passages("a.md", &text);
        assert!(all.iter().all(|passage| passage.text.chars().count() <= PASSAGE_CHARS_MAX));
        let found: String = all.iter().map(|passage| passage.text.clone() + " ").collect();
        let (found, expected): (Vec<&str>, Vec<&str>) =
            (found.split_whitespace().collect(), text.split_whitespace().collect());
        assert_eq!(found.concat(), expected.concat());
        assert_eq!(found[..1_800], expected[..1_800], "words stay whole");
        assert_eq!(all.last().map(|passage| passage.last_line), Some(4));
    }
}
