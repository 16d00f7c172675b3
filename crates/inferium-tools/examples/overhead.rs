//! What a host pays for tools beside what they do: `cargo run --release -p inferium-tools --example overhead`.
//!
//! Opens a box with one built-in server in its sandbox, and calls its cheapest tool in an empty folder; prints medians.
//! The process is its own helper.

use inferium_tools::{Builtin, Host, Launch, Secrets, Server, ToolBox, ToolOutcome};
use std::io::Write as _;
use std::process::ExitCode;
use std::time::{Duration, Instant};

const OPENINGS: usize = 50;
const CALLS: usize = 2_000;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next().is_some_and(|word| word == "tool") {
        return inferium_tools::helper(arguments);
    }
    let measured =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().map(|runtime| runtime.block_on(measure()));
    let words = match measured {
        Ok(Ok(words)) => words,
        Ok(Err(error)) => error.to_string(),
        Err(error) => error.to_string(),
    };
    let _ = writeln!(std::io::stdout(), "{words}");
    ExitCode::SUCCESS
}

async fn measure() -> Result<String, Box<dyn std::error::Error>> {
    let folder = std::env::temp_dir().join(format!("inferium-overhead-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let mut host = Host::new(std::env::current_exe()?);
    host.bounds.calls_max = u32::MAX;
    let servers = [Server { name: "documents".to_owned(), launch: Launch::Builtin(Builtin::Documents) }];
    let (mut opening, mut closing, mut calling) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..OPENINGS {
        let started = Instant::now();
        let tools = ToolBox::open(&servers, &folder, &host, &Secrets::default()).await?;
        opening.push(started.elapsed());
        for _ in 0..if round == 0 { CALLS } else { 1 } {
            let started = Instant::now();
            let outcome = tools.call("documents__list", serde_json::json!({})).await;
            calling.push(started.elapsed());
            if let ToolOutcome::Failed(reason) = outcome {
                return Err(reason.into());
            }
        }
        let started = Instant::now();
        tools.close().await;
        closing.push(started.elapsed());
    }
    std::fs::remove_dir_all(&folder)?;
    Ok(format!(
        "open {:.1} ms, call {} µs, close {:.1} ms (medians of {OPENINGS}, {CALLS}, {OPENINGS})",
        median(opening).as_secs_f64() * 1e3,
        median(calling).as_micros(),
        median(closing).as_secs_f64() * 1e3,
    ))
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}
