//! `inferium batch`: many requests in a file, answered when there is room, at the price of batches.

use crate::admin::answer;
use crate::cli::{BatchCommand, Failure, ServerArgs};
use crate::home::date_time;
use crate::keys::{rows, text};
use crate::output;
use crate::progress::{print, say};
use crate::run::{Server, server};
use comfy_table::{Table, presets::UTF8_FULL_CONDENSED};
use inferium_types::Amount;
use reqwest::{Client, Method, RequestBuilder, multipart};
use serde_json::{Value, json};
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

/// Time without a sign of life: an upload of megabytes, or an output, may take much longer in all.
const SILENCE: Duration = Duration::from_secs(60);

pub(crate) async fn run(command: BatchCommand) -> Result<(), Failure> {
    match command {
        BatchCommand::Submit { file, endpoint, server } => Api::of(&server)?.submit(&file, &endpoint).await,
        BatchCommand::List { server } => list(&Api::of(&server)?.ask(Method::GET, "/batches").await?),
        BatchCommand::Show { batch, server } => {
            show(&Api::of(&server)?.ask(Method::GET, &format!("/batches/{}", id(&batch)?)).await?)
        }
        BatchCommand::Cancel { batch, server } => {
            show(&Api::of(&server)?.ask(Method::POST, &format!("/batches/{}/cancel", id(&batch)?)).await?)
        }
        BatchCommand::Output { batch, errors, server } => {
            let api = Api::of(&server)?;
            let batch = api.ask(Method::GET, &format!("/batches/{}", id(&batch)?)).await?;
            let field = if errors { "error_file_id" } else { "output_file_id" };
            let file = batch.get(field).and_then(Value::as_str).ok_or_else(|| {
                let what = if errors { "errors" } else { "answers" };
                Failure::refused(format!("the batch is {}, and has no file of {what}", text(&batch, "status")))
            })?;
            api.print_file(file).await
        }
    }
}

/// An id as a part of an address.
fn id(given: &str) -> Result<&str, Failure> {
    let is_id = !given.is_empty() && given.chars().all(|one| one.is_ascii_alphanumeric() || "-_".contains(one));
    if is_id { Ok(given) } else { Err(Failure::usage(format!("{given:?} is no id; `inferium batch list` has ids"))) }
}

/// The server whose batches these are.
struct Api {
    http: Client,
    server: Server,
}

impl Api {
    fn of(arguments: &ServerArgs) -> Result<Self, Failure> {
        let http = Client::builder().connect_timeout(SILENCE).read_timeout(SILENCE).build();
        let http = http.map_err(|error| Failure::failed(format!("cannot make an HTTP client: {error}")))?;
        Ok(Self { http, server: server(arguments)? })
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let url = format!("{}{path}", self.server.base);
        self.http.request(method, url).bearer_auth(&self.server.key)
    }

    async fn ask(&self, method: Method, path: &str) -> Result<Value, Failure> {
        answer(self.request(method, path), &self.server.base).await
    }

    async fn submit(&self, file: &Path, endpoint: &str) -> Result<(), Failure> {
        let content = tokio::fs::read(file).await;
        let content = content.map_err(|error| Failure::usage(format!("cannot read {}: {error}", file.display())))?;
        let name = file.file_name().map_or_else(|| "batch.jsonl".into(), |name| name.to_string_lossy().into_owned());
        let part = multipart::Part::bytes(content).file_name(name);
        let form = multipart::Form::new().text("purpose", "batch").part("file", part);
        let uploaded = answer(self.request(Method::POST, "/files").multipart(form), &self.server.base).await?;
        let wanted = json!({"input_file_id": text(&uploaded, "id"), "endpoint": endpoint, "completion_window": "24h"});
        let batch = answer(self.request(Method::POST, "/batches").json(&wanted), &self.server.base).await?;
        say("The batch is being read; `inferium batch show ID` says how far it is.");
        show(&batch)
    }

    /// Prints a file as it comes: it may be larger than memory.
    async fn print_file(&self, file: &str) -> Result<(), Failure> {
        let failed = |error: &dyn std::fmt::Display| Failure::network(format!("the file did not come whole: {error}"));
        let request = self.request(Method::GET, &format!("/files/{file}/content"));
        let mut response = request.send().await.map_err(|error| failed(&error))?;
        if !response.status().is_success() {
            let status = response.status().as_u16();
            return Err(crate::admin::refusal(status, &response.json().await.map_err(|error| failed(&error))?));
        }
        let mut out = std::io::stdout();
        let unwritten = |error: std::io::Error| Failure::failed(format!("cannot write to stdout: {error}"));
        while let Some(chunk) = response.chunk().await.map_err(|error| failed(&error))? {
            out.write_all(&chunk).map_err(unwritten)?;
        }
        out.flush().map_err(unwritten)
    }
}

fn cost(batch: &Value) -> String {
    Amount::from_nano(batch.get("cost_nano").and_then(Value::as_u64).unwrap_or_default()).to_string()
}

fn count(batch: &Value, what: &str) -> String {
    let counts = batch.get("request_counts").and_then(|counts| counts.get(what));
    counts.and_then(Value::as_u64).unwrap_or_default().to_string()
}

fn created(batch: &Value) -> String {
    date_time(batch.get("created_at").and_then(Value::as_u64).unwrap_or_default().saturating_mul(1_000))
}

fn list(batches: &Value) -> Result<(), Failure> {
    if output::is_json() {
        return output::print_json(batches);
    }
    let mut table = Table::new();
    table
        .load_style(UTF8_FULL_CONDENSED)
        .set_header(["id", "status", "lines", "answered", "failed", "cost", "created"]);
    for batch in rows(batches) {
        table.add_row([
            text(batch, "id").to_owned(),
            text(batch, "status").to_owned(),
            count(batch, "total"),
            count(batch, "completed"),
            count(batch, "failed"),
            cost(batch),
            created(batch),
        ]);
    }
    print(&table.to_string())
}

fn show(batch: &Value) -> Result<(), Failure> {
    if output::is_json() {
        return output::print_json(batch);
    }
    let mut lines = vec![
        format!("id       {}", text(batch, "id")),
        format!("status   {}", text(batch, "status")),
        format!("endpoint {}", text(batch, "endpoint")),
        format!(
            "lines    {}, {} answered, {} failed",
            count(batch, "total"),
            count(batch, "completed"),
            count(batch, "failed")
        ),
        format!("cost     {}", cost(batch)),
        format!("created  {}", created(batch)),
    ];
    for fault in batch.get("errors").map_or(&[][..], rows) {
        let line = fault.get("line").and_then(Value::as_u64);
        let place = line.map_or_else(String::new, |line| format!("line {line}: "));
        lines.push(format!("fault    {place}{}", text(fault, "message")));
    }
    print(&lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::id;

    #[test]
    fn an_id_is_a_part_of_an_address_and_nothing_else() {
        assert_eq!(id("batch_0a-b").ok(), Some("batch_0a-b"));
        for wrong in ["", "../keys", "a/b", "a b", "a?b", "ä"] {
            assert!(id(wrong).is_err(), "{wrong}");
        }
    }
}
