//! `inferium eval publish` and `board --from-network`: boards that workers fold, committees fold again, and this program a third time.

use super::check::{board_table, parse_key};
use crate::admin::answer;
use crate::cli::{EvalNetworkArgs, EvalPublishArgs, Failure, ServerArgs};
use crate::keys::{rows, text};
use crate::output;
use crate::progress::{Step, print, say};
use crate::run::{Server, server};
use inferium_eval::{BoardDocument, fold_board};
use inferium_gateway::verify_document;
use inferium_types::{
    Amount, FoldInput, JobAnswer, JobOutput, JobPayload, ModelProfile, NetworkKey, ReceiptFacts, limits,
};
use reqwest::Client;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::time::Duration;

/// Time to connect; folding may take a while, and a worker may have to be found first.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Time for an answer.
const TIMEOUT: Duration = Duration::from_secs(180);
/// Pause between two questions whether a board is final.
const POLL: Duration = Duration::from_millis(200);

fn client() -> Result<Client, Failure> {
    let http = Client::builder().connect_timeout(CONNECT_TIMEOUT).timeout(TIMEOUT).build();
    http.map_err(|error| Failure::failed(format!("cannot make an HTTP client: {error}")))
}

/// Sends results, waits until their board is final, and prints it.
pub(super) async fn publish(arguments: &EvalPublishArgs) -> Result<(), Failure> {
    let key = arguments.network_key.as_deref().map(parse_key).transpose()?;
    let files = arguments.files.iter().map(read).collect::<Result<Vec<String>, Failure>>()?;
    if files.len() > limits::FOLD_FILES_MAX {
        let most = limits::FOLD_FILES_MAX;
        return Err(Failure::usage(format!("{} files: a board is folded from at most {most}", files.len())));
    }
    let (http, server) = (client()?, server(&arguments.server)?);
    let step = Step::begin("folded by a worker");
    let body = json!({"files": files, "name": arguments.name});
    let asked = http.post(format!("{}/boards", server.base)).bearer_auth(&server.key).json(&body);
    let published = answer(asked, &server.base).await?;
    step.done();
    let id = text(&published, "id").to_owned();
    let step = Step::begin("folded again by its committee");
    let mut board = final_board(&http, &server, &id, Duration::from_secs(arguments.timeout)).await?;
    step.done();
    board["usage"] = published.get("usage").cloned().unwrap_or_default();
    let verified = match &key {
        Some(key) => Some(check(&http, &server.base, &board, key).await?),
        None => None,
    };
    show(&[board], &server.base, usize::from(verified.is_some()))
}

fn read(path: &PathBuf) -> Result<String, Failure> {
    std::fs::read_to_string(path).map_err(|error| Failure::usage(format!("cannot read {}: {error}", path.display())))
}

/// Asks until the chain has decided.
async fn final_board(http: &Client, server: &Server, id: &str, timeout: Duration) -> Result<Value, Failure> {
    let deadline = tokio::time::Instant::now() + timeout;
    loop {
        let board = answer(http.get(format!("{}/boards/{id}", server.base)), &server.base).await?;
        match text(&board, "status") {
            "final" | "settled" => return Ok(board),
            "provisional" if tokio::time::Instant::now() < deadline => tokio::time::sleep(POLL).await,
            "provisional" => {
                let waited = timeout.as_secs();
                return Err(Failure::network(format!("the board {id} is still provisional after {waited} s")));
            }
            status => {
                return Err(Failure::refused(format!(
                    "the board {id} is {status}: its committee folded the files to something else, or came to no decision. Publish again"
                )));
            }
        }
    }
}

/// Prints the network's last final boards; with a key each is recomputed first.
pub(super) async fn from_network(arguments: &EvalNetworkArgs, suite: Option<&str>) -> Result<(), Failure> {
    let key = match (arguments.verify, &arguments.network_key) {
        (true, Some(key)) => Some(parse_key(key)?),
        (true, None) => {
            return Err(Failure::usage("--verify checks against a network key: name it with --network-key"));
        }
        (false, _) => None,
    };
    let (http, base) = (client()?, base_of(&arguments.server)?);
    let found = answer(http.get(format!("{base}/boards")), &base).await?;
    let is_wanted = |board: &&Value| suite.is_none_or(|suite| text(board, "suite") == suite);
    let boards: Vec<Value> = rows(&found).iter().filter(is_wanted).cloned().collect();
    if boards.is_empty() {
        let of = suite.map_or_else(String::new, |suite| format!(" of the suite `{suite}`"));
        return Err(Failure::refused(format!("{base} has no final board{of}")));
    }
    let mut verified = 0;
    if let Some(key) = &key {
        for board in &boards {
            let step = Step::begin(&format!("{} folded again", text(board, "suite")));
            check(&http, &base, board, key).await?;
            step.done();
            verified += 1;
        }
    }
    show(&boards, &base, verified)
}

/// Boards are for everyone: a server that is named needs no API key.
fn base_of(arguments: &ServerArgs) -> Result<String, Failure> {
    match &arguments.url {
        Some(url) => Server::new(url, String::new()).map(|server| server.base),
        None => server(arguments).map(|server| server.base),
    }
}

/// Folds a board again from what it was folded from, and checks that the chain has commitments to both.
async fn check(http: &Client, base: &str, board: &Value, key: &NetworkKey) -> Result<ReceiptFacts, Failure> {
    let id = text(board, "id");
    let wrong = |what: &str| Failure::refused(format!("the board {id} does not hold: {what}"));
    let inputs = answer(http.get(format!("{base}/boards/{id}/inputs")), base).await?;
    let files: Vec<String> = serde_json::from_value(inputs.get("files").cloned().unwrap_or_default())
        .map_err(|_| wrong("its inputs are no files"))?;
    let input = FoldInput { network: *key, files };
    let payload = JobPayload::fold(salt(&inputs, "input_salt").ok_or_else(|| wrong("it has no salt"))?, input.clone());
    let network = *key;
    let folded = tokio::task::spawn_blocking(move || fold_board(&input, &network)).await;
    let folded = folded.map_err(|error| Failure::failed(error.to_string()))?;
    let folded = folded.map_err(|refused| wrong(&format!("its files do not fold: {refused}")))?;
    let shown = board.get("board").cloned().unwrap_or_default();
    let shown: BoardDocument = serde_json::from_value(shown).map_err(|_| wrong("what stands on it is no board"))?;
    if shown.encode() != folded.board || text(&inputs, "board") != folded.board {
        return Err(wrong("its files fold to another board"));
    }
    let receipt = crate::receipt::get(id, base, TIMEOUT).await?;
    let facts = verify_document(receipt.as_bytes(), key).map_err(|error| wrong(&format!("its receipt: {error}")))?;
    let salt = salt(&inputs, "output_salt").ok_or_else(|| wrong("it has no salt"))?;
    let output = JobOutput { salt, answer: JobAnswer::Board(folded.board) };
    let job = &facts.job;
    if job.request.job.to_string() != id || facts.outcome.profile != ModelProfile::folder().id() {
        return Err(wrong("its receipt is of another job"));
    }
    if job.request.input_commitment != payload.commitment() || job.result.output_commitment != output.commitment() {
        return Err(wrong("its receipt commits to other files, or to another board"));
    }
    Ok(facts)
}

fn salt(inputs: &Value, field: &str) -> Option<[u8; 32]> {
    hex::decode(text(inputs, field)).ok()?.try_into().ok()
}

/// Prints boards; the first `verified` of them were folded again here.
fn show(boards: &[Value], base: &str, verified: usize) -> Result<(), Failure> {
    if output::is_json() {
        return output::print_json(&json!({"data": boards, "recomputed": verified}));
    }
    for board in boards {
        let document = board.get("board").cloned().unwrap_or_default();
        let document: BoardDocument =
            serde_json::from_value(document).map_err(|_| Failure::failed("the server's answer is no board"))?;
        let name = board.get("name").and_then(Value::as_str).map_or_else(String::new, |name| format!(" ({name})"));
        print(&format!("{}{name}, {}: board {}", document.suite, text(board, "status"), text(board, "id")))?;
        print(&board_table(&document).to_string())?;
        for left in &document.left_out {
            say(&format!("file {} is left out: {}", left.file, left.reason));
        }
        let receipt = text(board, "receipt_url");
        print(&format!("receipt: {}{receipt}", base.trim_end_matches('/').trim_end_matches("/v1")))?;
        if let Some(cost) = board.pointer("/usage/cost_nano").and_then(Value::as_u64) {
            print(&format!("cost: {}", Amount::from_nano(cost)))?;
        }
    }
    if verified > 0 {
        print(&format!("recomputed: {verified} boards, byte for byte, from files that their receipts commit to"))?;
    }
    Ok(())
}
