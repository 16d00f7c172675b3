//! How long an inference takes: a JSON line for each model, batch and instruction set.
//!
//! `cargo run --release -p inferium-exact --example speed [-- MILLISECONDS [MODEL ...]]`: so long is measured of each case, after a tenth of it that
//! is not counted. `microseconds` are the median of one call with the whole batch, on one thread; `trace_microseconds` of one trace, `commit_microseconds` of one run with the commitment to all its values.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement that fails has to stop")]
#![expect(clippy::disallowed_types, reason = "it measures time")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use inferium_exact::{Engine, Tier, synthetic};

/// Models of which the networks beside us are made too: `bench/exact.py`.
const MODELS: [&str; 4] = ["mlp-109k", "lenet-5", "dense-4m", "cnn-264k"];

/// The median time of a call, in microseconds, and how many there were.
fn measure(length: Duration, mut call: impl FnMut()) -> (f64, usize) {
    let begin = Instant::now();
    while begin.elapsed() < length / 10 {
        call();
    }
    let (begin, mut times) = (Instant::now(), Vec::new());
    while begin.elapsed() < length || times.len() < 5 {
        let one = Instant::now();
        call();
        times.push(one.elapsed().as_secs_f64() * 1e6);
    }
    times.sort_by(f64::total_cmp);
    (times[times.len() / 2], times.len())
}

fn main() {
    let length = Duration::from_millis(std::env::args().nth(1).map_or(500, |text| text.parse().unwrap()));
    let wanted: Vec<String> = std::env::args().skip(2).collect();
    for name in MODELS.into_iter().filter(|name| wanted.is_empty() || wanted.iter().any(|one| one == name)) {
        let (model, input) = synthetic(name).unwrap().unwrap();
        for tier in Tier::available() {
            let engine = Engine::with_tier(&model, tier).unwrap();
            for batch in [1, 32] {
                let inputs = vec![input.as_slice(); batch];
                let (microseconds, calls) = match batch {
                    1 => measure(length, || drop(black_box(engine.infer(black_box(&input)).unwrap()))),
                    _ => measure(length, || drop(black_box(engine.infer_batch(black_box(&inputs)).unwrap()))),
                };
                // With every value on the way, as workers hash them: one input at a time.
                let (trace, _) = measure(length / 4, || drop(black_box(engine.trace(black_box(&input)).unwrap())));
                // And with the commitment to all of them that evidence holds (SPEC V11).
                let (commit, _) = measure(length / 4, || drop(black_box(engine.commit(black_box(&input)).unwrap())));
                let instructions = engine.instructions().join(" ");
                println!(
                    "{{\"model\": \"{name}\", \"batch\": {batch}, \"tier\": \"{tier}\", \"instructions\": \"{instructions}\", \
                     \"microseconds\": {microseconds:.2}, \"calls\": {calls}, \"trace_microseconds\": {trace:.2}, \
                     \"commit_microseconds\": {commit:.2}}}"
                );
            }
        }
    }
}
