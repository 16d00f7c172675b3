//! Measures a network of validators in one process: blocks a second, CPU, memory, disk.
//!
//! `cargo run --release -p inferium-chain --example measure -- [validators] [seconds] [idle_ms]
//! [busy_ms] [transfers a second]`

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "a measuring tool")]

#[path = "../tests/common/mod.rs"]
mod common;

use common::{TestNetwork, key, rich, size_of};
use inferium_chain::Pace;
use std::time::{Duration, Instant};

/// CPU seconds of this process, and its resident bytes.
fn usage() -> (f64, u64) {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks: f64 = fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap();
    let pages: u64 = fields[21].parse().unwrap();
    (ticks / 100.0, pages * 4096)
}

#[tokio::main(flavor = "multi_thread", worker_threads = 1)]
async fn main() {
    let filter = tracing_subscriber::EnvFilter::from_default_env();
    tracing_subscriber::fmt().with_env_filter(filter).init();
    let number =
        |position: usize, default: u64| std::env::args().nth(position).map_or(default, |text| text.parse().unwrap());
    let validators = u8::try_from(number(1, 4)).unwrap();
    let (seconds, idle_ms, busy_ms, rate) = (number(2, 20), number(3, 1_000), number(4, 100), number(5, 0));
    let mut network = TestNetwork::new("measure", validators);
    network.pace = Pace { idle_ms, busy_ms };
    let begun = Instant::now();
    let handles = network.start().await;
    let mut head = handles[0].head();
    head.wait_for(|head| head.height >= 1).await.unwrap();
    println!("first block after {:.2} s", begun.elapsed().as_secs_f64());
    tokio::time::sleep(Duration::from_secs(2)).await;

    let (begun, (cpu, _), height) = (Instant::now(), usage(), head.borrow().height);
    let mut nonce = 0u64;
    let mut refused = 0u64;
    while begun.elapsed() < Duration::from_secs(seconds) {
        let due = (begun.elapsed().as_secs_f64() * rate as f64) as u64;
        while nonce < due {
            match handles[0].submit(network.transfer(&rich(), nonce, &key(101), 1)) {
                Ok(_) => nonce += 1,
                Err(_) => {
                    refused += 1;
                    break;
                }
            }
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let elapsed = begun.elapsed().as_secs_f64();
    let (cpu_after, resident) = usage();
    let blocks = head.borrow().height - height;
    let included = handles[0].state().next_nonce(&rich().public_key());
    let (cpu, blocks) = (cpu_after - cpu, blocks as f64);
    println!(
        "validators={validators} idle={idle_ms} busy={busy_ms}: {:.2} blocks/s, {:.1} ms CPU a block (all), \
         {:.1} % of a core, {:.0} MiB resident, {:.1} MiB on disk, {included} transfers ({:.0}/s), {refused} refused",
        blocks / elapsed,
        cpu * 1e3 / blocks,
        cpu / elapsed * 100.0,
        resident as f64 / 1_048_576.0,
        size_of(&network.directory) as f64 / 1_048_576.0,
        included as f64 / elapsed,
    );
    handles[0].stop().await;
    println!("stopped: {:?}", handles[0].fatal().await);
}
