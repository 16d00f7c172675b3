//! How close an integer model of a sentence encoder is to the float model that it was compiled from.
//!
//! `cargo run --release -p inferium-exact --example minilm -- FOLDER OUT`, with the folder of all-MiniLM-L6-v2 and what
//! `models/exact/minilm.py` wrote to OUT. The model is written to OUT too.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement that fails has to stop")]
#![expect(clippy::disallowed_types, reason = "it measures time")]

use std::path::{Path, PathBuf};
use std::time::Instant;

use inferium_exact::{BertConfig, Engine, compile_bert, decode, encode, intervals, model_id, read_bert, run};

/// An array of numbers for each line.
fn sequences(path: &Path) -> Vec<Vec<i32>> {
    let text = std::fs::read_to_string(path).unwrap();
    let line = |line: &str| {
        let numbers = line.trim_matches(['[', ']']).split(',');
        numbers.map(|number| number.trim().parse().unwrap()).collect()
    };
    text.lines().map(line).collect()
}

fn cosine(a: &[f64], b: &[f64]) -> f64 {
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

/// Places in order of size; equal ones share the mean of theirs.
fn ranks(values: &[f64]) -> Vec<f64> {
    let rank = |value: &f64| {
        let (below, equal) = values.iter().fold((0, 0), |(below, equal), other| {
            (below + usize::from(other < value), equal + usize::from(other == value))
        });
        below as f64 + (equal - 1) as f64 / 2.0
    };
    values.iter().map(rank).collect()
}

fn spearman(a: &[f64], b: &[f64]) -> f64 {
    let centred = |values: &[f64]| {
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        values.iter().map(|value| value - mean).collect::<Vec<_>>()
    };
    cosine(&centred(&ranks(a)), &centred(&ranks(b)))
}

fn pairs(vectors: &[Vec<f64>]) -> Vec<f64> {
    vectors.chunks_exact(2).map(|pair| cosine(&pair[0], &pair[1])).collect()
}

fn nearest(vectors: &[Vec<f64>], of: usize) -> usize {
    let others = (0..vectors.len()).filter(|other| vectors[*other] != vectors[of]);
    others.max_by(|a, b| cosine(&vectors[of], &vectors[*a]).total_cmp(&cosine(&vectors[of], &vectors[*b]))).unwrap()
}

fn closeness(name: &str, exact: &[Vec<f64>], float: &[Vec<f64>]) {
    let cosines: Vec<f64> = exact.iter().zip(float).map(|(exact, float)| cosine(exact, float)).collect();
    let (mean, min) = (cosines.iter().sum::<f64>() / cosines.len() as f64, cosines.iter().copied().fold(1.0, f64::min));
    println!("{name}: cosine to the float model {mean:.6} mean, {min:.6} least of {}", cosines.len());
}

fn main() {
    let folders: Vec<PathBuf> = std::env::args().skip(1).map(PathBuf::from).collect();
    let (weights, out) = (std::fs::read(folders[0].join("model.safetensors")).unwrap(), &folders[1]);
    let float = read_bert("all-minilm-l6-v2", BertConfig::MINILM, &weights).unwrap();
    let begin = Instant::now();
    let model = compile_bert(&float, &sequences(&out.join("calibration.jsonl"))).unwrap();
    println!("compiled in {:.1} s", begin.elapsed().as_secs_f64());
    let bytes = encode(&model).unwrap();
    std::fs::write(out.join("minilm.ifx"), &bytes).unwrap();
    let reach = intervals(&model).unwrap().iter().map(|one| one.max.max(-one.min)).max().unwrap();
    println!(
        "{} parameters, {} operations, {} multiplications at full length, file {} bytes, largest possible value {reach}, id {}",
        model.parameters(),
        model.nodes.len(),
        model.multiplications().unwrap(),
        bytes.len(),
        blake3::Hash::from(model_id(&model)).to_hex(),
    );
    let begin = Instant::now();
    let model = decode(&bytes).unwrap();
    println!("read and checked in {:.2} s", begin.elapsed().as_secs_f64());

    let engine = Engine::new(&model).unwrap();
    let exact = |texts: &[Vec<i32>]| {
        let begin = Instant::now();
        let vectors: Vec<Vec<i32>> = texts.iter().map(|tokens| engine.infer(tokens).unwrap()).collect();
        let seconds = begin.elapsed().as_secs_f64();
        let tokens: usize = texts.iter().map(Vec::len).sum();
        let count = texts.len() as f64;
        println!("{:.1} ms a text of {:.1} tokens", seconds * 1e3 / count, tokens as f64 / count);
        vectors.iter().map(|vector| vector.iter().map(|number| f64::from(*number)).collect()).collect::<Vec<Vec<f64>>>()
    };
    let floats = |texts: &[Vec<i32>]| {
        let vectors = texts.iter().map(|tokens| float.embed(tokens).unwrap());
        vectors.map(|vector| vector.iter().map(|number| f64::from(*number)).collect()).collect::<Vec<Vec<f64>>>()
    };
    let (sentences, long) = (sequences(&out.join("pairs.jsonl")), sequences(&out.join("long.jsonl")));
    let grades: Vec<f64> = sequences(&out.join("grades.json"))[0].iter().map(|grade| f64::from(*grade)).collect();
    let (vectors, expected) = (exact(&sentences), floats(&sentences));
    closeness("sentences", &vectors, &expected);
    closeness("long texts", &exact(&long), &floats(&long));
    let longest: Vec<i32> = long.concat().into_iter().take(BertConfig::MINILM.length as usize).collect();
    closeness("the longest sequence", &exact(std::slice::from_ref(&longest)), &floats(std::slice::from_ref(&longest)));
    let (similar, wanted) = (pairs(&vectors), pairs(&expected));
    println!(
        "order of {} pairs: Spearman {:.5} integer with float; with the grades {:.4} integer, {:.4} float",
        similar.len(),
        spearman(&similar, &wanted),
        spearman(&similar, &grades),
        spearman(&wanted, &grades),
    );
    let same = (0..vectors.len()).filter(|of| {
        let (a, b) = (nearest(&vectors, *of), nearest(&expected, *of));
        a == b || expected[a] == expected[b]
    });
    println!("nearest of the other sentences is the same for {} of {}", same.count(), vectors.len());
    assert_eq!(run(&model, &sentences[0]).unwrap().output(), engine.infer(&sentences[0]).unwrap(), "one answer");
}
