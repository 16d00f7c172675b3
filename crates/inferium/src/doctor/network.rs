//! The network of the data folder: does it run, can it be reached, do the clocks agree.

use super::Finding;
use crate::admin::{answer, client};
use crate::home::unix_ms;
use crate::up::{self, NetworkFile};
use inferium_chain::LightClient;
use reqwest::Client;
use serde_json::Value;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::time::Duration;

/// Time for the first verified block.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How far a block may be ahead of this clock (SPEC C3).
const AHEAD_MAX_MS: u64 = 2_000;
/// Age of the newest block from which the chain, or the clock, is not right.
const BEHIND_MAX_MS: u64 = 30_000;
/// Where `inferium up` listens when nothing else is said.
const PORT: u16 = 8080;

pub(super) async fn look(data: &Path) -> Vec<Finding> {
    let file = match up::network_file(data) {
        Ok(file) => file,
        Err(_) if !data.join("network.json").exists() => {
            return vec![
                port(),
                Finding::weak("network", format!("none was started in {}", data.display()), "inferium up"),
            ];
        }
        Err(failure) => {
            return vec![Finding::broken("network", failure.to_string(), "start it once more: inferium up")];
        }
    };
    let http = match client() {
        Ok(http) => http,
        Err(failure) => {
            return vec![Finding::broken("network", failure.to_string(), "check the system's certificates")];
        }
    };
    let mut findings = vec![gateway(&http, &file).await, version(&http, &file).await];
    findings.push(validators(&http, &file).await);
    findings.push(chain(data).await);
    findings
}

/// Whether the usual port is free for a network.
fn port() -> Finding {
    match TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, PORT))) {
        Ok(_) => Finding::fine("port", format!("127.0.0.1:{PORT} is free")),
        Err(error) => {
            let fix = "end what listens there, or choose another port: inferium up --listen 127.0.0.1:0";
            Finding::weak("port", format!("127.0.0.1:{PORT} can't be listened at: {error}"), fix)
        }
    }
}

fn root(file: &NetworkFile) -> &str {
    file.base_url.trim_end_matches("/v1")
}

async fn gateway(http: &Client, file: &NetworkFile) -> Finding {
    let check = "gateway";
    // It says in either case what it serves.
    let ready = match http.get(format!("{}/ready", root(file))).send().await {
        Ok(response) => response.json::<Value>().await.unwrap_or_default(),
        Err(error) => {
            let detail = format!("{} does not answer: {error}", root(file));
            return Finding::broken(check, detail, "start the network: inferium up, with the same --data");
        }
    };
    let models = ready.get("models").and_then(Value::as_object).cloned().unwrap_or_default();
    let without: Vec<&String> =
        models.iter().filter(|(_, leases)| leases.as_u64() == Some(0)).map(|(name, _)| name).collect();
    if ready.get("ready").and_then(Value::as_bool) == Some(true) && without.is_empty() {
        let names: Vec<&str> = models.keys().map(String::as_str).collect();
        return Finding::fine(check, format!("{} serves {}", root(file), names.join(", ")));
    }
    if without.is_empty() {
        let detail = format!("{} is not ready: its chain stands still", root(file));
        return Finding::broken(check, detail, "look for the validators' trouble in the log of `inferium up`");
    }
    let detail =
        format!("no worker serves {}", without.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(", "));
    Finding::broken(check, detail, "inferium why worker says what is in its way; inferium worker join adds one")
}

async fn version(http: &Client, file: &NetworkFile) -> Finding {
    let check = "its version";
    let own = env!("CARGO_PKG_VERSION");
    let fix = "use one program for both: start the network anew with this one";
    match answer(http.get(format!("{}/version", root(file))), root(file)).await {
        Ok(body) => match body.get("version").and_then(Value::as_str) {
            Some(version) if version == own => Finding::fine(check, format!("{own}, as this program")),
            Some(version) => Finding::weak(check, format!("the network runs {version}, this is {own}"), fix),
            None => Finding::weak(check, "the gateway tells no version", fix),
        },
        Err(failure) => Finding::weak(check, failure.to_string(), fix),
    }
}

/// Every validator by itself: the light client is content with one.
async fn validators(http: &Client, file: &NetworkFile) -> Finding {
    let asked = file.rpc_urls.iter().map(|url| async move { (url, http.get(url).send().await.is_ok()) });
    let asked = futures::future::join_all(asked).await;
    let silent: Vec<&str> = asked.iter().filter(|(_, answers)| !answers).map(|(url, _)| url.as_str()).collect();
    let (all, missing) = (asked.len(), silent.len());
    let check = "validators";
    if silent.is_empty() {
        return Finding::fine(check, format!("all {all} can be reached"));
    }
    let detail = format!("{missing} of {all} can't be reached: {}", silent.join(", "));
    let fix = "start them, or open the way to them";
    // A BFT chain goes on without less than a third.
    if missing.saturating_mul(3) >= all {
        Finding::broken(check, detail, fix)
    } else {
        Finding::weak(check, detail, fix)
    }
}

/// The newest block, verified, and what its time says of this clock.
async fn chain(data: &Path) -> Finding {
    let check = "clock";
    let head = tokio::time::timeout(CONNECT_TIMEOUT, newest(data)).await;
    match head {
        Ok(Ok(timestamp_ms)) => skew(timestamp_ms, unix_ms()),
        Ok(Err(reason)) => Finding::broken(check, reason, "start the network: inferium up, with the same --data"),
        Err(_) => {
            let fix = "look for the validators' trouble in the log of `inferium up`";
            Finding::broken(check, "no verified block came in 10 s", fix)
        }
    }
}

async fn newest(data: &Path) -> Result<u64, String> {
    let (_, chain): (_, LightClient) = up::connect(data).await.map_err(|failure| failure.to_string())?;
    let mut head = chain.head();
    let found = head.wait_for(Option::is_some).await.map_err(|error| error.to_string())?;
    found.as_ref().map(|block| block.header.timestamp_ms).ok_or_else(|| "no block".to_owned())
}

fn skew(block_ms: u64, now_ms: u64) -> Finding {
    let (check, fix) = ("clock", "set it by a time server: timedatectl set-ntp true");
    let (ahead, behind) = (block_ms.saturating_sub(now_ms), now_ms.saturating_sub(block_ms));
    if ahead > AHEAD_MAX_MS {
        return Finding::broken(check, format!("the chain's newest block is {ahead} ms ahead of this clock"), fix);
    }
    if behind > BEHIND_MAX_MS {
        let detail = format!(
            "the chain's newest block is {} s old: the chain stands still, or this clock is ahead",
            behind / 1_000
        );
        return Finding::broken(check, detail, fix);
    }
    Finding::fine(check, format!("the chain's newest block is {behind} ms old"))
}

#[cfg(test)]
mod tests {
    use super::skew;
    use crate::doctor::State;

    #[test]
    fn a_clock_is_off_by_what_blocks_say() {
        let state = |block_ms, now_ms| skew(block_ms, now_ms).state;
        assert_eq!(state(100_000, 100_500), State::Fine);
        assert_eq!(state(102_000, 100_000), State::Fine);
        assert_eq!(state(102_001, 100_000), State::Broken);
        assert_eq!(state(100_000, 130_000), State::Fine);
        assert_eq!(state(100_000, 130_001), State::Broken);
    }
}
