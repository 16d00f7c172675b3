//! The chat: lines that are questions, and lines that are commands.

use super::api::Api;
use super::{Options, tell, write_out};
use crate::cli::Failure;
use crate::progress::{complain, print, say};
use rustyline::error::ReadlineError;
use serde_json::{Value, json};

/// Begins and ends a question of several lines.
const FENCE: &str = "\"\"\"";
const HELP: &str = "\
/set system TEXT       what the model is told before everything else
/set temperature T     from 0, always the likeliest, to 2
/set top_p P           above 0, up to 1
/set seed N            the same seed draws the same answer
/set max_tokens N      tokens of an answer at most
/set verbose           speed, cost and receipt after each answer
/unset NAME            back to the default
/show                  what is set
/clear                 forget what was said
/bye                   leave (Ctrl-D too)
\"\"\"                    begins and ends a question of several lines
Ctrl-C                 stops an answer";

/// What a line of the chat is.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Line {
    Nothing,
    Ask(String),
    /// The first line of several.
    Open(String),
    Set(String, String),
    Unset(String),
    Show,
    Clear,
    Help,
    Bye,
    Unknown(String),
}

impl Line {
    pub(super) fn read(line: &str) -> Self {
        let line = line.trim();
        if line.is_empty() {
            return Self::Nothing;
        }
        if let Some(rest) = line.strip_prefix(FENCE) {
            return match rest.strip_suffix(FENCE) {
                Some(whole) => Self::Ask(whole.to_owned()),
                None => Self::Open(rest.to_owned()),
            };
        }
        if !line.starts_with('/') {
            return Self::Ask(line.to_owned());
        }
        let (command, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let rest = rest.trim();
        match command {
            "/bye" | "/exit" | "/quit" => Self::Bye,
            "/clear" => Self::Clear,
            "/show" => Self::Show,
            "/help" | "/?" => Self::Help,
            "/unset" => Self::Unset(rest.to_owned()),
            "/set" => {
                let (name, value) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
                Self::Set(name.to_owned(), value.trim().to_owned())
            }
            _ => Self::Unknown(command.to_owned()),
        }
    }
}

impl Options {
    /// Sets one of them; an empty value sets it back.
    pub(super) fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        fn parsed<T: std::str::FromStr>(value: &str, expected: &str) -> Result<Option<T>, String> {
            if value.is_empty() {
                return Ok(None);
            }
            value.parse().map(Some).map_err(|_| format!("{value:?} is not {expected}"))
        }
        let within = |number: Option<f64>, least: f64, most: f64| match number {
            Some(number) if !(least..=most).contains(&number) => Err(format!("{number} is not from {least} to {most}")),
            number => Ok(number),
        };
        match name {
            "system" => self.system = (!value.is_empty()).then(|| value.to_owned()),
            "temperature" => self.temperature = within(parsed(value, "a number")?, 0.0, 2.0)?,
            "top_p" => self.top_p = within(parsed(value, "a number")?, 0.000_001, 1.0)?,
            "seed" => self.seed = parsed(value, "a whole number")?,
            "max_tokens" => self.max_tokens = parsed(value, "a whole number")?,
            "verbose" => self.verbose = true,
            "quiet" => self.verbose = false,
            _ => return Err(format!("{name:?} can't be set; /help lists what can")),
        }
        Ok(())
    }

    fn shown(&self) -> Value {
        json!({
            "system": self.system,
            "temperature": self.temperature,
            "top_p": self.top_p,
            "seed": self.seed,
            "max_tokens": self.max_tokens,
            "verbose": self.verbose,
        })
    }
}

/// A conversation, until /bye.
pub(super) async fn chat(api: &Api, mut options: Options) -> Result<(), Failure> {
    let cannot = |error: ReadlineError| Failure::failed(format!("the terminal can't be read: {error}"));
    let mut editor = rustyline::DefaultEditor::new().map_err(cannot)?;
    say(&format!("{} (/help for commands, /bye to leave)", api.model));
    let mut said: Vec<Value> = Vec::new();
    loop {
        let line = match editor.readline(">>> ") {
            Ok(line) => line,
            Err(ReadlineError::Interrupted) => {
                say("(/bye or Ctrl-D to leave)");
                continue;
            }
            Err(ReadlineError::Eof) => return Ok(()),
            Err(error) => return Err(cannot(error)),
        };
        // Kept for this chat alone: what people ask is written nowhere.
        let _ = editor.add_history_entry(&line);
        match Line::read(&line) {
            Line::Nothing => {}
            Line::Bye => return Ok(()),
            Line::Help => say(HELP),
            Line::Show => say(&options.shown().to_string()),
            Line::Clear => {
                said.clear();
                say("forgotten");
            }
            Line::Unknown(command) => say(&format!("{command} is no command; /help lists them")),
            Line::Set(name, value) if value.is_empty() && name != "verbose" && name != "quiet" => {
                say("/set takes a name and a value; /help lists them");
            }
            Line::Set(name, value) => report(options.set(&name, &value)),
            Line::Unset(name) if name == "verbose" => options.verbose = false,
            Line::Unset(name) => report(options.set(&name, "")),
            Line::Ask(question) => answer(api, &options, &mut said, question).await?,
            Line::Open(first) => {
                if let Some(question) = rest_of(&mut editor, first) {
                    answer(api, &options, &mut said, question).await?;
                }
            }
        }
    }
}

fn report(outcome: Result<(), String>) {
    if let Err(reason) = outcome {
        say(&reason);
    }
}

/// The further lines of a question; `None` if it was given up.
fn rest_of(editor: &mut rustyline::DefaultEditor, first: String) -> Option<String> {
    let mut question = first;
    while let Ok(line) = editor.readline("... ") {
        if !question.is_empty() {
            question.push('\n');
        }
        if let Some(last) = line.trim_end().strip_suffix(FENCE) {
            question.push_str(last);
            return Some(question);
        }
        question.push_str(&line);
    }
    None
}

/// Asks, with what was said before; Ctrl-C ends the answer and keeps what came of it.
async fn answer(api: &Api, options: &Options, said: &mut Vec<Value>, question: String) -> Result<(), Failure> {
    said.push(json!({"role": "user", "content": question}));
    let system = options.system.iter().map(|text| json!({"role": "system", "content": text}));
    let messages: Vec<Value> = system.chain(said.iter().cloned()).collect();
    let mut so_far = String::new();
    let mut show = |text: &str| {
        so_far.push_str(text);
        write_out(text)
    };
    let outcome = tokio::select! {
        outcome = api.ask(&messages, options, &mut show) => Some(outcome),
        // Dropped, the request is closed, and with it the worker's job.
        _ = tokio::signal::ctrl_c() => None,
    };
    print("")?;
    match outcome {
        Some(Ok(answer)) => {
            if options.verbose {
                tell(&answer.stats);
            }
        }
        Some(Err(failure)) => complain(&failure),
        None => say("(stopped)"),
    }
    if so_far.is_empty() {
        // Nothing was answered: the question is as if it had not been asked.
        said.pop();
    } else {
        said.push(json!({"role": "assistant", "content": so_far}));
    }
    Ok(())
}
