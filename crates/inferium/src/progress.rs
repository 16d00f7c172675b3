//! What people see while they wait: bars on a terminal, lines elsewhere, always on stderr.

use crate::cli::Failure;
use indicatif::{ProgressBar, ProgressStyle};
use inferium_engine::source::Progress;
use std::io::Write as _;
use std::time::Duration;

/// Prints a failure.
pub(crate) fn complain(failure: &Failure) {
    say(&format!("error: {failure}"));
}

/// One line on stderr.
pub(crate) fn say(line: &str) {
    // Nobody is left to tell when stderr is gone.
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Data on stdout.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{text}")
        .and_then(|()| out.flush())
        .map_err(|e| Failure::failed(format!("cannot write to stdout: {e}")))
}

/// A bar as all of them look.
fn bar(length: u64, template: &str) -> ProgressBar {
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(length).with_style(style.progress_chars("=> "))
}

/// A download's bar.
pub(crate) struct DownloadBar {
    bar: ProgressBar,
}

impl DownloadBar {
    pub(crate) fn new(name: &str) -> Self {
        let bar = bar(0, "{msg} [{bar:32}] {bytes}/{total_bytes} {bytes_per_sec} {eta}");
        bar.set_message(name.to_owned());
        Self { bar }
    }

    pub(crate) fn update(&mut self, progress: Progress) {
        match progress {
            Progress::Trying { source } => self.line(&format!("  from {source}")),
            Progress::Received { bytes, total_bytes } => {
                self.bar.set_length(total_bytes);
                self.bar.set_position(bytes);
            }
            Progress::Verifying => self.bar.set_message("checking sha256"),
            Progress::Failed { source, reason } => self.line(&format!("  {source}: {reason}")),
            _ => self.bar.finish_and_clear(),
        }
    }

    fn line(&self, text: &str) {
        if self.bar.is_hidden() {
            say(text);
        } else {
            self.bar.println(text);
        }
    }
}

/// The bar of something that has parts, each of which has items.
pub(crate) struct PartsBar {
    bar: ProgressBar,
    part: Option<usize>,
}

impl PartsBar {
    pub(crate) fn new() -> Self {
        let bar = bar(0, "{prefix} {msg} [{bar:32}] {pos}/{len} {eta}");
        Self { bar, part: None }
    }

    /// Part `part` of `parts`, called `name`, has done `done` of its `items`.
    pub(crate) fn update(&mut self, name: &str, (part, parts): (usize, usize), (done, items): (u64, u64)) {
        if self.part.replace(part) != Some(part) {
            self.bar.set_prefix(format!("{}/{parts}", part + 1));
            self.bar.set_message(name.to_owned());
            self.bar.set_length(items);
            self.bar.reset_eta();
            if self.bar.is_hidden() {
                say(&format!("  {}/{parts} {name}", part + 1));
            }
        }
        self.bar.set_position(done);
    }

    pub(crate) fn done(self) {
        self.bar.finish_and_clear();
    }
}

/// The bar of so many equal things.
pub(crate) struct CountBar {
    bar: ProgressBar,
}

impl CountBar {
    pub(crate) fn new(name: &str, count: u64) -> Self {
        let bar = bar(count, "{msg} [{bar:32}] {pos}/{len} {per_sec} {eta}");
        bar.set_message(name.to_owned());
        Self { bar }
    }

    pub(crate) fn set(&self, done: usize) {
        self.bar.set_position(u64::try_from(done).unwrap_or(u64::MAX));
    }

    /// So many were done before: they tell nothing about how long the rest takes.
    pub(crate) fn go_on_from(&self, done: u64) {
        self.bar.set_position(done);
        self.bar.reset_eta();
    }

    /// How many there are, once that is known.
    pub(crate) fn resize(&self, count: u64) {
        self.bar.set_length(count);
    }

    /// What stands before the bar from now on.
    pub(crate) fn rename(&self, name: String) {
        self.bar.set_message(name);
    }

    pub(crate) fn done(self) {
        self.bar.finish_and_clear();
    }
}

/// A step of something long.
pub(crate) struct Step {
    bar: ProgressBar,
    text: String,
    started: std::time::Instant,
}

impl Step {
    pub(crate) fn begin(text: &str) -> Self {
        let bar = ProgressBar::new_spinner();
        bar.set_message(text.to_owned());
        bar.enable_steady_tick(Duration::from_millis(100));
        Self { bar, text: text.to_owned(), started: std::time::Instant::now() }
    }

    pub(crate) fn done(self) {
        self.bar.finish_and_clear();
        say(&format!("  {} ({:.1} s)", self.text, self.started.elapsed().as_secs_f64()));
    }
}
