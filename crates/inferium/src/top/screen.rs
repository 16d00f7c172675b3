//! The screen of `inferium top`.

use super::{PERIOD, Seen};
use crate::admin::Admin;
use crate::cli::Failure;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Modifier, Style};
use ratatui::text::Line;
use ratatui::widgets::{Block, Paragraph, Row, Sparkline, Table};
use ratatui::{DefaultTerminal, Frame};
use std::time::{Duration, Instant};

/// How long a key may wait to be read.
const KEY_WAIT: Duration = Duration::from_millis(100);

/// Looks and draws until q, Escape or Ctrl-C.
pub(super) async fn watch(admin: &Admin, mut seen: Seen) -> Result<(), Failure> {
    let cannot = |error: std::io::Error| Failure::failed(format!("the terminal can't be used: {error}"));
    let mut terminal = ratatui::try_init().map_err(cannot)?;
    let outcome = follow(&mut terminal, admin, &mut seen).await;
    // The terminal is as it was, whatever happened.
    ratatui::restore();
    outcome.map_err(cannot)
}

async fn follow(terminal: &mut DefaultTerminal, admin: &Admin, seen: &mut Seen) -> std::io::Result<()> {
    let mut next = Instant::now() + PERIOD;
    loop {
        terminal.draw(|frame| draw(frame, seen))?;
        while Instant::now() < next {
            if tokio::task::block_in_place(is_over)? {
                return Ok(());
            }
        }
        next = Instant::now() + PERIOD;
        match admin.get("/status").await {
            Ok(status) => seen.take(Instant::now(), status),
            Err(failure) => seen.trouble = Some(failure.to_string()),
        }
    }
}

/// True once somebody wants to leave.
fn is_over() -> std::io::Result<bool> {
    if !event::poll(KEY_WAIT)? {
        return Ok(false);
    }
    let Event::Key(key) = event::read()? else { return Ok(false) };
    let is_interrupt = key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL);
    Ok(key.kind == KeyEventKind::Press && (is_interrupt || matches!(key.code, KeyCode::Char('q') | KeyCode::Esc)))
}

fn draw(frame: &mut Frame<'_>, seen: &Seen) {
    let facts = seen.facts();
    let facts_height = u16::try_from(facts.len()).unwrap_or(u16::MAX).saturating_add(2);
    let [top, charts, models, foot] = Layout::vertical([
        Constraint::Length(facts_height),
        Constraint::Length(7),
        Constraint::Min(3),
        Constraint::Length(1),
    ])
    .areas(frame.area());
    let lines: Vec<Line<'_>> = facts.iter().map(|(name, value)| Line::from(format!("{name:<9} {value}"))).collect();
    frame.render_widget(Paragraph::new(lines).block(Block::bordered().title(" inferium ")), top);
    let [left, right] = Layout::horizontal([Constraint::Fill(1), Constraint::Fill(1)]).areas(charts);
    chart(frame, left, " tokens of answers/s ", &seen.tokens);
    chart(frame, right, " jobs/s ", &seen.jobs);
    let bold = Style::default().add_modifier(Modifier::BOLD);
    let widths = [24, 10, 10, 8, 7, 8, 7].map(Constraint::Length);
    let head = Row::new(["model", "for", "class", "workers", "leases", "running", "slots"]).style(bold);
    let table = Table::new(crate::ps::models(seen.status()).into_iter().map(Row::new), widths)
        .header(head)
        .block(Block::bordered().title(" models "));
    frame.render_widget(table, models);
    let foot_text = seen.trouble.clone().unwrap_or_else(|| "q quits".into());
    frame.render_widget(Paragraph::new(foot_text), foot);
}

/// The newest values that there is room for.
fn chart(frame: &mut Frame<'_>, area: Rect, title: &str, history: &std::collections::VecDeque<u64>) {
    let room = usize::from(area.width.saturating_sub(2));
    let newest: Vec<u64> = history.iter().skip(history.len().saturating_sub(room)).copied().collect();
    frame.render_widget(Sparkline::default().data(newest).block(Block::bordered().title(title.to_owned())), area);
}

#[cfg(test)]
mod tests {
    use super::{Seen, draw};
    use ratatui::{Terminal, backend::TestBackend};
    use serde_json::json;
    use std::time::{Duration, Instant};

    #[test]
    fn the_screen_shows_the_network_at_any_size() {
        let mut seen = Seen::default();
        let start = Instant::now();
        let models = json!([{"model": "smol", "workers": ["a"]}]);
        let status = |tokens: u64| json!({"height": 42, "completion_tokens": tokens, "models": models});
        seen.take(start, status(0));
        seen.take(start + Duration::from_secs(1), status(100));
        for (width, height) in [(100, 30), (40, 12), (1, 1)] {
            let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
            terminal.draw(|frame| draw(frame, &seen)).unwrap();
            let text: String = terminal.backend().buffer().content().iter().map(|cell| cell.symbol()).collect();
            if width == 100 {
                for part in ["block     42", "smol", "q quits", "100.0/s"] {
                    assert!(text.contains(part), "{part}");
                }
            }
        }
    }
}
