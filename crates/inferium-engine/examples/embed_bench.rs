//! Measures the embedder on a model's folder: `embed_bench FOLDER [tier]`.
//!
//! Prints texts per second for short texts, a paragraph and the longest texts, for one and two threads, and the resident
//! memory.
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a command-line tool for developers")]

use inferium_engine::{BertEmbedder, Embedder, EmbedderOptions};
use std::path::Path;
use std::time::Instant;

const SHORT: &str = "How do I reset the password of my account?";
const PARAGRAPH: &str = "A decentralised network answers requests on machines that nobody has to trust, and proves it. \
    Validators replay the answers bit for bit before they are final; the chain pays for what was right, and slashes what was \
    wrong.";

/// Embeds the same text `count` times, in one call.
fn embed(embedder: &BertEmbedder, tokens: &[u32], count: usize) {
    let mut receiver = embedder.embed(vec![tokens.to_vec(); count]).unwrap();
    while let Some(vector) = receiver.blocking_recv() {
        std::hint::black_box(vector.unwrap());
    }
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().unwrap();
    let tier = arguments.next().map(|name| name.parse().unwrap());
    for threads in [1, 2] {
        let began = Instant::now();
        let options = EmbedderOptions { threads, tier, ..EmbedderOptions::default() };
        let embedder = BertEmbedder::load(Path::new(&path), options).unwrap();
        println!(
            "{}, {threads} threads: loaded in {:.2} s",
            embedder.model().kernel_tier,
            began.elapsed().as_secs_f64()
        );
        for (name, text) in
            [("short", SHORT.to_owned()), ("paragraph", PARAGRAPH.to_owned()), ("longest", "hello ".repeat(254))]
        {
            let tokens = embedder.encode(&text).unwrap();
            embed(&embedder, &tokens, 3);
            let count = 6000 / tokens.len();
            let began = Instant::now();
            embed(&embedder, &tokens, count);
            let seconds = began.elapsed().as_secs_f64();
            let began = Instant::now();
            (0..20).for_each(|_| embed(&embedder, &tokens, 1));
            let alone = began.elapsed().as_secs_f64() / 20.0;
            println!(
                "  {name}, {} tokens: {:.0} texts/s ({:.0} tokens/s); one alone {:.1} ms",
                tokens.len(),
                count as f64 / seconds,
                (count * tokens.len()) as f64 / seconds,
                alone * 1000.0
            );
        }
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        println!("  {}", status.lines().find(|line| line.starts_with("VmRSS")).unwrap_or_default());
    }
}
