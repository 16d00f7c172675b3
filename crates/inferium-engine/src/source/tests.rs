use super::{
    CATALOGUE, CatalogueEntry, CatalogueFile, ModelKind, Progress, Source, SourceError, find, list, pull, pull_path,
    pull_url, remove, show,
};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::PathBuf;

/// SHA-256 of `GGUF and more`.
const CONTENT: &[u8] = b"GGUF and more";

fn sha256(bytes: &[u8]) -> &'static str {
    Box::leak(inferium_types::Digest::sha256(bytes).to_string().into_boxed_str())
}

/// A folder of its own for a test, removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("inferium-source-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn file(name: &'static str, content: &[u8]) -> CatalogueFile {
    CatalogueFile { name, sha256: sha256(content), size_bytes: content.len() as u64 }
}

fn entry(sources: Vec<Source>) -> CatalogueEntry {
    CatalogueEntry {
        name: "test-model",
        aliases: &[],
        kind: ModelKind::Chat,
        files: vec![file("test.gguf", CONTENT)].leak(),
        license: "none",
        sources: sources.leak(),
    }
}

/// A request up to the empty line.
fn head_of(stream: &mut std::net::TcpStream) -> String {
    let (mut request, mut byte) = (Vec::new(), [0]);
    while !request.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).unwrap();
        request.push(byte[0]);
    }
    String::from_utf8(request).unwrap()
}

/// Serves one request on the loopback and returns what was asked.
fn serve_once(
    answer: impl FnOnce(&str) -> Vec<u8> + Send + 'static,
) -> (&'static str, std::thread::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/test.gguf", listener.local_addr().unwrap());
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let request = head_of(&mut stream).to_lowercase();
        stream.write_all(&answer(&request)).unwrap();
        request
    });
    (Box::leak(url.into_boxed_str()), server)
}

fn response(status: &str, body: &[u8]) -> Vec<u8> {
    let mut bytes =
        format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len()).into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

fn file_source(folder: &Folder, content: &[u8]) -> Source {
    folder_source(folder, "original", &[("test.gguf", content)])
}

/// A folder with files, which may be in folders of it.
fn folder_source(folder: &Folder, name: &str, files: &[(&str, &[u8])]) -> Source {
    let path = folder.0.join(name);
    for (file, content) in files {
        let file = path.join(file);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, content).unwrap();
    }
    Source::LocalPath(Box::leak(path.to_string_lossy().into_owned().into_boxed_str()))
}

/// The folder of an address.
fn url_source(url: &'static str) -> Source {
    Source::Url(url.strip_suffix("/test.gguf").unwrap())
}

#[test]
fn the_first_source_that_delivers_is_enough() {
    let folder = Folder::new("first");
    let entry = entry(vec![Source::LocalPath("/nonexistent"), file_source(&folder, CONTENT)]);
    let models = folder.0.join("models");
    let mut failed = 0;
    let path = pull(&entry, &models, &mut |progress| {
        failed += u32::from(matches!(progress, Progress::Failed { .. }));
    })
    .unwrap();
    assert_eq!(failed, 1);
    assert_eq!(std::fs::read(&path).unwrap(), CONTENT);
    // The second time no source is asked.
    pull(&entry, &models, &mut |progress| {
        assert_eq!(progress, Progress::Done);
    })
    .unwrap();
}

#[test]
fn a_wrong_checksum_is_refused_and_removed() {
    let folder = Folder::new("wrong");
    let entry = entry(vec![file_source(&folder, b"GGUF but other")]);
    let error = pull(&entry, &folder.0, &mut |_| ()).unwrap_err();
    assert!(error.to_string().contains("refused and removed"), "{error}");
    assert!(!folder.0.join("test.gguf").exists());
    assert!(!folder.0.join("test.gguf.part").exists());
}

#[test]
fn a_damaged_installed_file_is_replaced() {
    let folder = Folder::new("damaged");
    let entry = entry(vec![file_source(&folder, CONTENT)]);
    std::fs::write(folder.0.join("test.gguf"), b"GGUF damaged..").unwrap();
    let path = pull(&entry, &folder.0, &mut |_| ()).unwrap();
    assert_eq!(std::fs::read(path).unwrap(), CONTENT);
}

#[test]
fn every_failed_source_is_named() {
    let folder = Folder::new("offline");
    // Port 1 of the loopback refuses at once.
    let entry = entry(vec![Source::Url("http://127.0.0.1:1"), Source::LocalPath("/nonexistent")]);
    let error = pull(&entry, &folder.0, &mut |_| ()).unwrap_err();
    let SourceError::AllFailed { tried, .. } = &error else { unreachable!("{error}") };
    assert!(tried.contains("127.0.0.1:1") && tried.contains("/nonexistent"), "{tried}");
}

#[test]
fn a_download_continues_where_it_ended() {
    let folder = Folder::new("resume");
    std::fs::write(folder.0.join("test.gguf.part"), &CONTENT[..5]).unwrap();
    let (url, server) = serve_once(|_| response("206 Partial Content", &CONTENT[5..]));
    let path = pull(&entry(vec![url_source(url)]), &folder.0, &mut |_| ()).unwrap();
    assert!(server.join().unwrap().contains("range: bytes=5-"));
    assert_eq!(std::fs::read(path).unwrap(), CONTENT);
}

#[test]
fn a_server_without_ranges_starts_over() {
    let folder = Folder::new("restart");
    std::fs::write(folder.0.join("test.gguf.part"), &CONTENT[..5]).unwrap();
    let (url, server) = serve_once(|_| response("200 OK", CONTENT));
    let path = pull(&entry(vec![url_source(url)]), &folder.0, &mut |_| ()).unwrap();
    server.join().unwrap();
    assert_eq!(std::fs::read(path).unwrap(), CONTENT);
}

#[test]
fn a_missing_page_is_an_error() {
    let folder = Folder::new("missing");
    let (url, server) = serve_once(|_| response("404 Not Found", b""));
    let error = pull(&entry(vec![url_source(url)]), &folder.0, &mut |_| ()).unwrap_err();
    server.join().unwrap();
    assert!(error.to_string().contains("404"), "{error}");
}

#[test]
fn imported_models_are_listed_shown_and_removed() {
    let folder = Folder::new("import");
    let models = folder.0.join("models");
    let file = folder.0.join("my-model.gguf");
    std::fs::write(&file, CONTENT).unwrap();
    assert_eq!(list(&models).unwrap(), []);
    let imported = pull_path(&file, &models).unwrap();
    assert_eq!((imported.name.as_str(), imported.sha256.as_deref()), ("my-model", Some(sha256(CONTENT))));
    assert!(!imported.is_catalogued);
    assert_eq!(list(&models).unwrap(), std::slice::from_ref(&imported));
    assert_eq!(show(&models, "MY-MODEL").unwrap(), imported);
    assert!(matches!(remove(&models, "../my-model"), Err(SourceError::Unknown { .. })));
    remove(&models, "my-model").unwrap();
    assert_eq!(list(&models).unwrap(), []);
}

#[test]
fn what_is_no_gguf_file_is_not_imported() {
    let folder = Folder::new("other");
    let file = folder.0.join("a.gguf");
    std::fs::write(&file, b"zip?").unwrap();
    assert!(matches!(pull_path(&file, &folder.0.join("models")), Err(SourceError::NotGguf { .. })));
    assert!(matches!(pull_path(&folder.0.join("none.gguf"), &folder.0), Err(SourceError::Io { .. })));
}

#[test]
fn names_and_aliases_are_found_in_any_case() {
    assert_eq!(find("SmolLM2").unwrap().name, "smollm2-135m-instruct");
    assert_eq!(find("MiniLM").unwrap().kind, ModelKind::Embedding);
    assert!(find("gpt-5").is_none());
    for entry in CATALOGUE {
        assert!(!entry.files.is_empty() && !entry.sources.is_empty());
        assert!(entry.files.iter().all(|file| file.sha256.len() == 64 && file.size_bytes > 0));
    }
}

#[test]
fn an_address_delivers_what_its_checksum_names() {
    let folder = Folder::new("address");
    let (url, server) = serve_once(|_| response("200 OK", CONTENT));
    let mut last = None;
    let model = pull_url(url, sha256(CONTENT), &folder.0, &mut |progress| last = Some(progress)).unwrap();
    server.join().unwrap();
    assert_eq!((model.name.as_str(), last), ("test", Some(Progress::Done)));
    assert_eq!(std::fs::read(model.path).unwrap(), CONTENT);
}

#[test]
fn an_address_with_another_file_is_refused() {
    let folder = Folder::new("address-wrong");
    let other: &[u8] = b"GGUF but other";
    let (url, server) = serve_once(move |_| response("200 OK", other));
    let error = pull_url(url, sha256(CONTENT), &folder.0, &mut |_| ()).unwrap_err();
    server.join().unwrap();
    assert!(matches!(error, SourceError::Checksum { .. }), "{error}");
    let (url, server) = serve_once(|_| response("200 OK", b"no model at all"));
    let error = pull_url(url, sha256(b"no model at all"), &folder.0, &mut |_| ()).unwrap_err();
    server.join().unwrap();
    assert!(matches!(error, SourceError::NotGguf { .. }), "{error}");
    let error = pull_url("http://127.0.0.1:1/model.bin", sha256(CONTENT), &folder.0, &mut |_| ()).unwrap_err();
    assert!(matches!(error, SourceError::NotGguf { .. }), "{error}");
    let left: Vec<_> = std::fs::read_dir(&folder.0).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| name.to_string_lossy().ends_with(".lock")), "{left:?}");
}

#[test]
fn an_address_continues_where_it_was_interrupted() {
    let folder = Folder::new("address-part");
    let half = CONTENT.len() / 2;
    std::fs::create_dir_all(&folder.0).unwrap();
    std::fs::write(folder.0.join(format!("test.gguf.{}.part", sha256(CONTENT))), &CONTENT[..half]).unwrap();
    let (url, server) = serve_once(move |_| response("206 Partial Content", &CONTENT[half..]));
    let model = pull_url(url, sha256(CONTENT), &folder.0, &mut |_| ()).unwrap();
    assert!(server.join().unwrap().contains(&format!("range: bytes={half}-")));
    assert_eq!(std::fs::read(model.path).unwrap(), CONTENT);
}

/// A model of three files, one of them in a folder.
fn folder_entry(sources: Vec<Source>) -> CatalogueEntry {
    let files = vec![file("model.safetensors", b"weights"), file("a.json", b"{}"), file("1_Pooling/a.json", b"[]")];
    CatalogueEntry { name: "test-folder", kind: ModelKind::Embedding, files: files.leak(), ..entry(sources) }
}

const WHOLE: [(&str, &[u8]); 3] = [("model.safetensors", b"weights"), ("a.json", b"{}"), ("1_Pooling/a.json", b"[]")];

#[test]
fn a_model_of_several_files_is_a_folder() {
    let folder = Folder::new("several");
    let entry = folder_entry(vec![folder_source(&folder, "original", &WHOLE)]);
    let models = folder.0.join("models");
    let mut received = Vec::new();
    let path = pull(&entry, &models, &mut |progress| received.push(progress)).unwrap();
    assert_eq!(path, models.join("test-folder"));
    for (name, content) in WHOLE {
        assert_eq!(std::fs::read(path.join(name)).unwrap(), content);
    }
    assert_eq!(received.last(), Some(&Progress::Done));
    // The second time no source is asked.
    pull(&entry, &models, &mut |progress| assert_eq!(progress, Progress::Done)).unwrap();

    let installed = show(&models, "test-folder").unwrap();
    assert_eq!((installed.path, installed.size_bytes), (path.clone(), 7));
    assert_eq!(installed.sha256.as_deref(), Some(sha256(b"weights")));
    remove(&models, "test-folder").unwrap();
    assert!(!path.exists());
    assert_eq!(list(&models).unwrap(), []);
}

#[test]
fn only_what_is_missing_or_damaged_is_fetched_and_from_the_next_source() {
    let folder = Folder::new("missing-files");
    let incomplete = folder_source(&folder, "incomplete", &WHOLE[..2]);
    // The right bytes of one file only: were another one asked for, the checksum would refuse it.
    let rest = [("model.safetensors", b"other!!".as_slice()), ("a.json", b"??"), WHOLE[2]];
    let rest = folder_source(&folder, "rest", &rest);
    let entry = folder_entry(vec![incomplete, rest]);
    let models = folder.0.join("models");
    let path = pull(&entry, &models, &mut |_| ()).unwrap();
    std::fs::write(path.join("1_Pooling/a.json"), b"damaged").unwrap();
    pull(&entry, &models, &mut |_| ()).unwrap();
    assert_eq!(std::fs::read(path.join("1_Pooling/a.json")).unwrap(), b"[]");

    std::fs::write(path.join("a.json"), b"damaged").unwrap();
    let nowhere = folder_entry(vec![folder_source(&folder, "nothing", &[]), Source::LocalPath("/nonexistent")]);
    let error = pull(&nowhere, &models, &mut |_| ()).unwrap_err();
    assert!(error.to_string().contains("/nonexistent"), "{error}");
    // What was right has stayed.
    assert_eq!(std::fs::read(path.join("model.safetensors")).unwrap(), b"weights");
}

#[test]
fn downloads_of_several_files_count_together() {
    let folder = Folder::new("together");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = Box::leak(format!("http://{}", listener.local_addr().unwrap()).into_boxed_str());
    let server = std::thread::spawn(move || {
        WHOLE.map(|(_, content)| {
            let (mut stream, _) = listener.accept().unwrap();
            let request = head_of(&mut stream);
            stream.write_all(&response("200 OK", content)).unwrap();
            request.split(' ').nth(1).unwrap().to_owned()
        })
    });
    let mut received = Vec::new();
    pull(&folder_entry(vec![Source::Url(url)]), &folder.0, &mut |progress| {
        if let Progress::Received { bytes, total_bytes } = progress {
            received.push((bytes, total_bytes));
        }
    })
    .unwrap();
    assert_eq!(server.join().unwrap(), ["/model.safetensors", "/a.json", "/1_Pooling/a.json"]);
    assert_eq!(received, [(7, 11), (9, 11), (11, 11)]);
}
