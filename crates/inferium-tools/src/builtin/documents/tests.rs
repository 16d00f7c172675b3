//! The tools of `documents` on a small folder; its vectors come from an endpoint of the test's own, over real HTTP.

use super::{Documents, Folder};
use crate::host::{Embeddings, Secret};
use crate::testing::Scratch;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;

fn folder(name: &str) -> Scratch {
    let scratch = Scratch::new(name);
    std::fs::create_dir(scratch.path().join("notes")).unwrap();
    std::fs::write(scratch.path().join("notes/cats.md"), "# Cats\n\nCats sleep most of the day.\n").unwrap();
    std::fs::write(scratch.path().join("dogs.txt"), "Dogs bark.\n\nDogs sleep at night, and a dog likes walks.\n")
        .unwrap();
    std::fs::write(scratch.path().join("photo.bin"), [0, 159, 146, 150]).unwrap();
    scratch
}

async fn call(
    scratch: &Scratch,
    embeddings: Option<Embeddings>,
    tool: &str,
    arguments: Value,
) -> Result<String, String> {
    let documents = Documents::new(Folder::open(scratch.path()).unwrap(), embeddings).unwrap();
    documents.do_call(tool, arguments).await
}

#[tokio::test]
async fn files_are_listed_and_read_in_parts() {
    let scratch = folder("documents-read");
    let listed = call(&scratch, None, "list", json!({})).await.unwrap();
    assert_eq!(listed, "dogs.txt (56 bytes)\nnotes/cats.md (36 bytes)\nphoto.bin (4 bytes)\n");
    let part = call(&scratch, None, "read", json!({"path": "dogs.txt", "from_line": 3, "lines": 1})).await.unwrap();
    assert_eq!(part, "dogs.txt, lines 3 to 3 of 3:\nDogs sleep at night, and a dog likes walks.");
    let beyond = call(&scratch, None, "read", json!({"path": "dogs.txt", "from_line": 4})).await.unwrap();
    assert_eq!(beyond, "dogs.txt has 3 lines");
    let refused = [
        ("read", json!({"path": "../x"}), "cannot read"),
        ("read", json!({"path": "photo.bin"}), "no text"),
        ("read", json!({"path": "none"}), "there is no file"),
        ("read", json!({"path": "dogs.txt", "line": 3}), "unknown field"),
        ("search", json!({"query": " "}), "query is not empty"),
        ("search", json!({"query": "a", "k": 21}), "k is 1 to 20"),
        ("write", json!({}), "there is no tool"),
    ];
    for (tool, arguments, expected) in refused {
        let reason = call(&scratch, None, tool, arguments.clone()).await.unwrap_err();
        assert!(reason.contains(expected), "{tool} {arguments}: {reason}");
    }
}

#[tokio::test]
async fn without_vectors_passages_are_ranked_by_words() {
    let scratch = folder("documents-words");
    let found = call(&scratch, None, "search", json!({"query": "Where do CATS sleep?", "k": 1})).await.unwrap();
    let begins = "1 of 2 passages, ranked by words (BM25); files that are no texts, or too large to search: 1\n\n1. notes/cats.md, lines 1 to 3, score ";
    assert!(found.starts_with(begins), "{found}");
    assert!(found.ends_with("\n# Cats\n\nCats sleep most of the day.\n"), "{found}");
    let nothing = call(&scratch, None, "search", json!({"query": "submarine"})).await.unwrap();
    assert!(nothing.starts_with("0 of 2 passages"), "{nothing}");
    let empty = Scratch::new("documents-empty");
    assert!(call(&empty, None, "search", json!({"query": "a"})).await.unwrap().starts_with("0 of 0 passages"));
}

/// An endpoint whose vectors count the letters that a text has of `d` and `c`; it answers one request for each count
/// in `requests`, and hands back what it was asked.
async fn endpoint(status: &'static str, requests: usize) -> (Embeddings, tokio::task::JoinHandle<Vec<Value>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base_url = format!("http://{}/v1", listener.local_addr().unwrap());
    let serving = tokio::spawn(async move {
        let mut asked = Vec::new();
        for _ in 0..requests {
            let (stream, _) = listener.accept().await.unwrap();
            let mut stream = BufReader::new(stream);
            let (mut size, mut line) = (0, String::new());
            while stream.read_line(&mut line).await.unwrap() > 2 {
                size = line.strip_prefix("content-length: ").map_or(size, |text| text.trim().parse().unwrap());
                line.clear();
            }
            let mut body = vec![0; size];
            stream.read_exact(&mut body).await.unwrap();
            let body: Value = serde_json::from_slice(&body).unwrap();
            let texts = body["input"].as_array().unwrap().iter();
            let count = |text: &Value, letter| text.as_str().unwrap().to_lowercase().matches(letter).count();
            let rows = texts
                .enumerate()
                .map(|(index, text)| json!({"index": index, "embedding": [count(text, 'd'), count(text, 'c')]}));
            let answer = json!({"data": rows.rev().collect::<Vec<_>>()}).to_string();
            let head = format!(
                "HTTP/1.1 {status}\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
                answer.len()
            );
            stream.write_all((head + &answer).as_bytes()).await.unwrap();
            stream.shutdown().await.unwrap();
            asked.push(body);
        }
        asked
    });
    (Embeddings { base_url, model: "letters".to_owned(), key: Secret::new("key".to_owned()) }, serving)
}

#[tokio::test]
async fn with_vectors_passages_are_ranked_by_their_cosines() {
    let scratch = folder("documents-vectors");
    let (embeddings, serving) = endpoint("200 OK", 2).await;
    let documents = Documents::new(Folder::open(scratch.path()).unwrap(), Some(embeddings)).unwrap();
    for (query, best) in [("ccc", "notes/cats.md"), ("ddd", "dogs.txt")] {
        let found = documents.do_call("search", json!({"query": query})).await.unwrap();
        assert!(found.starts_with("2 of 2 passages, ranked by meaning (vectors)"), "{found}");
        assert!(found.contains(&format!("\n1. {best}, ")), "{query}: {found}");
    }
    let asked = serving.await.unwrap();
    assert_eq!(asked[0]["model"], "letters");
    assert_eq!(asked[0]["input"].as_array().unwrap().len(), 3, "both passages and the question");
    assert_eq!(asked[1]["input"], json!(["ddd"]), "passages are asked for once");
}

#[tokio::test]
async fn an_endpoint_that_refuses_is_named_and_words_are_ranked_by() {
    let scratch = folder("documents-refused");
    let (embeddings, serving) = endpoint("402 Payment Required", 1).await;
    let found = call(&scratch, Some(embeddings), "search", json!({"query": "a"})).await.unwrap();
    let says = "ranked by words (BM25), since there are no vectors: the endpoint for embeddings: 402 Payment Required";
    assert!(found.contains(says), "{found}");
    serving.await.unwrap();
}
