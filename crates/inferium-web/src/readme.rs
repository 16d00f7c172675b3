//! A stranger's README as HTML: headings, lists, code and paragraphs. All else is text, addresses and markup too.

use maud::{Markup, html};

/// Lines that are shown.
const LINES_MAX: usize = 400;

/// A piece of a README.
#[derive(Debug, PartialEq, Eq)]
enum Block<'a> {
    Heading(&'a str),
    List(Vec<&'a str>),
    Code(Vec<&'a str>),
    Text(Vec<&'a str>),
}

fn blocks(text: &str) -> Vec<Block<'_>> {
    let mut blocks = Vec::new();
    let (mut in_code, mut is_apart) = (false, true);
    for line in text.lines().take(LINES_MAX) {
        let bare = line.trim();
        if bare.starts_with("```") {
            in_code = !in_code;
            if in_code {
                blocks.push(Block::Code(Vec::new()));
            }
            is_apart = true;
            continue;
        }
        let last = blocks.last_mut();
        match (bare, last) {
            (_, Some(Block::Code(lines))) if in_code => lines.push(line),
            ("", _) => {
                is_apart = true;
                continue;
            }
            (heading, _) if heading.starts_with('#') => {
                blocks.push(Block::Heading(heading.trim_start_matches('#').trim()));
            }
            (item, last) if item.starts_with("- ") || item.starts_with("* ") => {
                let item = item.get(2..).unwrap_or_default();
                match last {
                    Some(Block::List(items)) => items.push(item),
                    _ => blocks.push(Block::List(vec![item])),
                }
            }
            (more, Some(Block::Text(lines))) if !is_apart => lines.push(more),
            (first, _) => blocks.push(Block::Text(vec![first])),
        }
        is_apart = false;
    }
    blocks
}

/// A line with what stands between backticks as code.
fn line(text: &str) -> Markup {
    // An odd backtick at the end opens nothing.
    let is_even = text.matches('`').count().is_multiple_of(2);
    html! {
        @if is_even { @for (index, part) in text.split('`').enumerate() { @if index % 2 == 1 { code { (part) } } @else { (part) } } }
        @else { (text) }
    }
}

/// The README as HTML; whatever it holds is escaped.
pub(crate) fn html(text: &str) -> Markup {
    html! {
        @for block in blocks(text) {
            @match block {
                Block::Heading(text) => h3 { (line(text)) },
                Block::List(items) => ul { @for item in items { li { (line(item)) } } },
                Block::Code(lines) => pre tabindex="0" { (lines.join("\n")) },
                Block::Text(lines) => p { (line(&lines.join(" "))) },
            }
        }
    }
}

#[cfg(test)]
mod tests;
