//! Servers at addresses that misbehave over HTTP: each ends in a clear error within the bounds.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use inferium_tools::{Host, Launch, Secret, Secrets, Server, ToolBox};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What a server does with a connection, once it has read a part of the request.
#[derive(Debug, Clone)]
enum Crime {
    Hang,
    Answer(String),
    Flood(&'static str),
}

/// Serves the crime at an address of this machine, and tells of the requests that it gets.
async fn serve(crime: Crime) -> (String, tokio::sync::mpsc::UnboundedReceiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}/mcp", listener.local_addr().unwrap());
    let (tell, told) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(commit(crime.clone(), stream, tell.clone()));
        }
    });
    (address, told)
}

async fn commit(crime: Crime, mut stream: TcpStream, tell: tokio::sync::mpsc::UnboundedSender<String>) {
    let mut request = vec![0; 8_192];
    let read = stream.read(&mut request).await.unwrap_or(0);
    let _ = tell.send(String::from_utf8_lossy(&request[..read]).into_owned());
    match crime {
        Crime::Hang => std::future::pending().await,
        Crime::Answer(answer) => {
            let _ = stream.write_all(answer.as_bytes()).await;
        }
        Crime::Flood(kind) => {
            let head = format!("HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\n\r\ndata: \"");
            let mut sent = stream.write_all(head.as_bytes()).await;
            while sent.is_ok() {
                sent = stream.write_all(&[b'x'; 65_536]).await;
            }
        }
    }
}

/// Why a run with this server can't begin.
async fn refusal(address: &str, name: &str) -> String {
    let folder = std::env::temp_dir().join(format!("inferium-remote-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let mut host = Host::new("/nowhere".into());
    host.private_addresses = true;
    host.bounds.start = Duration::from_secs(3);
    host.bounds.response_bytes = 100_000;
    let mut secrets = Secrets::default();
    secrets.insert(Secrets::token_name("far-away"), Secret::new("t0ken".to_owned()));
    let servers = [Server { name: "far-away".to_owned(), launch: Launch::Url(address.to_owned()) }];
    let started = Instant::now();
    let reason = ToolBox::open(&servers, &folder, &host, &secrets).await.unwrap_err().to_string();
    assert!(started.elapsed() < Duration::from_secs(8), "{name} took {:?}", started.elapsed());
    std::fs::remove_dir_all(&folder).unwrap();
    assert!(reason.starts_with("server far-away did not start: "), "{reason}");
    assert!(!reason.contains("t0ken"), "{reason}");
    reason
}

#[tokio::test]
async fn an_address_that_does_not_answer_is_left() {
    let (address, mut told) = serve(Crime::Hang).await;
    assert!(refusal(&address, "hang").await.contains("it was not ready within 3 s"));
    let request = told.recv().await.unwrap().to_lowercase();
    assert!(request.starts_with("post /mcp ") && request.contains("authorization: bearer t0ken"), "{request}");
    let nobody = refusal("http://127.0.0.1:1/mcp", "nobody").await;
    assert!(nobody.contains("Connection refused"), "{nobody}");
}

#[tokio::test]
async fn floods_are_not_kept() {
    for kind in ["application/json", "text/event-stream"] {
        let (address, _told) = serve(Crime::Flood(kind)).await;
        let reason = refusal(&address, &kind.replace('/', "-")).await;
        assert!(reason.len() < 2_000, "{kind}: {} bytes", reason.len());
    }
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let (target, mut told) = serve(Crime::Hang).await;
    let answer = format!("HTTP/1.1 307 Temporary Redirect\r\nlocation: {target}\r\ncontent-length: 0\r\n\r\n");
    let (address, _) = serve(Crime::Answer(answer)).await;
    let reason = refusal(&address, "redirect").await;
    assert!(reason.contains("307"), "{reason}");
    assert!(told.try_recv().is_err(), "nobody came to the other address");
}

#[tokio::test]
async fn answers_that_are_no_mcp_are_named() {
    for (name, status, body) in
        [("text", "200 OK", "<html>hello</html>"), ("error", "500 Oops", "no"), ("denied", "401 No", "")]
    {
        let answer =
            format!("HTTP/1.1 {status}\r\ncontent-type: text/html\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        let (address, _told) = serve(Crime::Answer(answer)).await;
        let reason = refusal(&address, name).await;
        let expected = if name == "text" { "text/html" } else { &status[..3] };
        assert!(reason.contains(expected), "{name}: {reason}");
    }
}
