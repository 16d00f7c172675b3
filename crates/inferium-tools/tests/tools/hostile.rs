//! Every crime of `examples/hostile.rs` ends in a clear outcome, within the bounds, and leaves nothing behind.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]

use inferium_tools::{Host, Launch, Permit, Secret, Secrets, Server, ToolBox, ToolError, ToolOutcome};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// A folder for one test, with a file beside the run's folder.
struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Self {
        // Not in a folder that the test binary is in: programs read their own.
        let path = std::env::temp_dir().join(format!("inferium-hostile-{name}-{}", std::process::id()));
        std::fs::create_dir_all(path.join("run")).unwrap();
        std::fs::write(path.join("outside"), "untouched").unwrap();
        Self(path)
    }

    fn run(&self) -> PathBuf {
        self.0.join("run")
    }

    fn outside(&self) -> PathBuf {
        self.0.join("outside")
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A program of `examples`, which cargo builds for tests.
fn example(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    test.parent().and_then(Path::parent).unwrap().join("examples").join(name)
}

fn host() -> Host {
    let mut host = Host::new(example("helper"));
    host.permits.push(Permit { program: example("hostile"), ..Permit::default() });
    host.bounds.call = Duration::from_secs(10);
    host
}

fn server(mode: &str, outside: &str) -> Server {
    let arguments = vec![mode.to_owned(), outside.to_owned()];
    Server { name: "bad".to_owned(), launch: Launch::Command { program: "hostile".to_owned(), arguments } }
}

async fn open(place: &Place, host: &Host) -> ToolBox {
    let outside = place.outside().display().to_string();
    ToolBox::open(&[server("well", &outside)], &place.run(), host, &Secrets::default()).await.unwrap()
}

async fn call(tools: &ToolBox, tool: &str) -> ToolOutcome {
    tools.call(&format!("bad__{tool}"), json!({})).await
}

fn text(outcome: ToolOutcome) -> String {
    match outcome {
        ToolOutcome::Text(text) => text,
        ToolOutcome::Failed(reason) => panic!("failed: {reason}"),
    }
}

fn failure(outcome: ToolOutcome) -> String {
    match outcome {
        ToolOutcome::Failed(reason) => reason,
        ToolOutcome::Text(text) => panic!("answered: {text}"),
    }
}

/// The server is lost by `tool` for the reason `expected`, which later calls are told as well.
async fn loses(name: &str, host: &Host, tool: &str, expected: &str) {
    let place = Place::new(name);
    let tools = open(&place, host).await;
    assert_eq!(text(tools.call("bad__echo", json!({"text": "there"})).await), "there");
    let started = Instant::now();
    let reason = failure(call(&tools, tool).await);
    assert!(reason.starts_with("server bad is gone: ") && reason.contains(expected), "{tool}: {reason}");
    assert!(started.elapsed() < host.bounds.call + Duration::from_secs(5), "{tool} took {:?}", started.elapsed());
    assert_eq!(failure(call(&tools, "echo").await), reason);
    tools.close().await;
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_stopped() {
    let mut host = host();
    host.bounds.call = Duration::from_millis(500);
    loses("hang", &host, "hang", "it did not answer within 0.5 s, and was stopped").await;
    loses("wrong-id", &host, "wrong_id", "it did not answer within 0.5 s").await;
}

#[tokio::test]
async fn a_server_that_floods_is_stopped() {
    let mut host = host();
    host.bounds.response_bytes = 100_000;
    loses("flood", &host, "flood", "it sent more than 100000 bytes at once").await;
    let place = Place::new("flood-argument");
    let tools = open(&place, &host).await;
    let long = "x".repeat(90_000);
    assert_eq!(text(tools.call("bad__echo", json!({"text": long})).await), long, "what fits is passed on");
    let reason = failure(tools.call("bad__echo", json!({"text": "x".repeat(100_000)})).await);
    assert!(reason.contains("more than 100000 bytes"), "{reason}");
    tools.close().await;
}

#[tokio::test]
async fn complaints_are_read_and_dropped() {
    let place = Place::new("complain");
    let tools = open(&place, &host()).await;
    assert_eq!(text(call(&tools, "complain").await), "complained");
    tools.close().await;
}

#[tokio::test]
async fn a_server_that_dies_is_named_with_its_last_words() {
    loses("die", &host(), "die", "it ended with exit code 7: out of cheese").await;
}

#[tokio::test]
async fn what_one_process_takes_is_bounded() {
    let mut host = host();
    host.bounds.memory_bytes = 64 << 20;
    host.bounds.cpu_seconds = 1;
    host.bounds.file_bytes = 1 << 20;
    loses("allocate", &host, "allocate", "signal 6 ended it: memory allocation of 1048576 bytes failed").await;
    loses("spin", &host, "spin", "more than its 1 processor seconds").await;
    loses("large-file", &host, "large_file", "a file of more than 1048576 bytes").await;
}

#[tokio::test]
async fn a_folder_can_not_be_filled() {
    let mut host = host();
    host.bounds.folder_bytes = 8 << 20;
    loses("fill", &host, "fill", "the run's folder holds more than 8388608 bytes").await;
}

#[tokio::test]
async fn odd_answers_are_answers() {
    let mut host = host();
    host.bounds.call = Duration::from_secs(2);
    let place = Place::new("odd");
    let tools = open(&place, &host).await;
    let image = text(call(&tools, "image").await);
    assert_eq!(image, "[an image (image/png, 4 bytes in base64), left out: only text is passed on]");
    assert_eq!(failure(call(&tools, "refuse").await), "not today");
    assert!(
        failure(call(&tools, "nothing").await).starts_with("there is no tool \"bad__nothing\"; there are bad__echo, ")
    );
    assert!(failure(tools.call("bad__echo", json!([1])).await).contains("a JSON object"));
    assert_eq!(failure(call(&tools, "garbage").await), "the server's answer is no result of a tool");
    tools.close().await;
}

#[tokio::test]
async fn nothing_outside_is_read_or_changed() {
    let place = Place::new("escape");
    let tools = open(&place, &host()).await;
    assert_eq!(
        text(call(&tools, "read_outside").await),
        "passwd: refused\nlist: refused\nproc: refused\noutside: refused\n"
    );
    let expected = "inside: done\noutside: refused\ntruncate: refused\nremove: refused\nrename: refused\ntmp: refused\nexecute: refused\n";
    assert_eq!(text(call(&tools, "write_outside").await), expected);
    assert_eq!(std::fs::read_to_string(place.outside()).unwrap(), "untouched");
    let names: Vec<_> = std::fs::read_dir(&place.0).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names.len(), 2, "{names:?}");
    tools.close().await;
}

#[tokio::test]
async fn there_is_no_network_unless_the_host_permits_it() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let to = listener.local_addr().unwrap().to_string();
    for (network, word) in [(false, "refused"), (true, "done")] {
        let place = Place::new(&format!("network-{network}"));
        let mut host = host();
        host.permits[0].network = network;
        let tools = ToolBox::open(&[server("well", &to)], &place.run(), &host, &Secrets::default()).await.unwrap();
        let expected = format!("listen: {word}\nudp: {word}\nconnect: {word}\nlocal: refused\n");
        assert_eq!(text(call(&tools, "sockets").await), expected);
        tools.close().await;
    }
}

#[tokio::test]
async fn there_are_no_other_processes_unless_the_host_permits_them() {
    let place = Place::new("processes");
    let tools = open(&place, &host()).await;
    assert_eq!(text(call(&tools, "start").await), "start: refused\nthread: done\n");
    assert_eq!(text(call(&tools, "stay").await), "session: false, child: false");
    tools.close().await;
    let place = Place::new("processes-permitted");
    let mut host = host();
    host.permits[0].processes = true;
    let tools = open(&place, &host).await;
    assert_eq!(text(call(&tools, "start").await), "start: done\nthread: done\n");
    assert_eq!(text(call(&tools, "signal").await), "kill: refused\n", "they reach no process outside");
    assert_eq!(text(call(&tools, "stay").await), "session: false, child: true");
    assert!(lives(&place), "the child works in the run's folder");
    tools.close().await;
    assert!(!lives(&place), "what a server started ends with it");
}

/// True if a process works in the run's folder.
fn lives(place: &Place) -> bool {
    !states(place).is_empty()
}

/// What the processes in the run's folder do: `T` for one that was stopped, others as in `ps`.
fn states(place: &Place) -> Vec<char> {
    let processes = std::fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
    let ours = processes.filter(|path| std::fs::read_link(path.join("cwd")).is_ok_and(|folder| folder == place.run()));
    let stats = ours.filter_map(|path| std::fs::read_to_string(path.join("stat")).ok());
    stats.filter_map(|stat| stat.rsplit_once(") ")?.1.chars().next()).collect()
}

/// Waits until what `is_so` says of the processes in the run's folder is true: the system takes its time for signals.
async fn until(place: &Place, is_so: impl Fn(&[char]) -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !is_so(&states(place)) {
        assert!(Instant::now() < deadline, "{:?}", states(place));
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn programs_stand_still_while_nobody_asks_them() {
    let place = Place::new("still");
    let mut host = host();
    host.permits[0].processes = true;
    let tools = open(&place, &host).await;
    until(&place, |states| states == ['T']).await;
    // Also what it started, and also if whoever asked has gone away.
    assert_eq!(text(call(&tools, "stay").await), "session: false, child: true");
    until(&place, |states| states == ['T', 'T']).await;
    {
        let asked = call(&tools, "spin");
        tokio::pin!(asked);
        tokio::select! {
            _ = &mut asked => panic!("it spins for ever"),
            () = until(&place, |states| states.contains(&'R')) => {}
        }
    }
    until(&place, |states| states == ['T', 'T']).await;
    tools.close().await;
    assert!(!lives(&place));
}

#[tokio::test]
async fn dropping_a_box_ends_its_programs() {
    let place = Place::new("drop");
    let tools = open(&place, &host()).await;
    assert!(lives(&place));
    drop(tools);
    until(&place, <[char]>::is_empty).await;
}

#[tokio::test]
async fn programs_see_their_secrets_and_nothing_of_the_host() {
    let place = Place::new("environment");
    let mut secrets = Secrets::default();
    secrets.insert("API_KEY".to_owned(), Secret::new("k-1".to_owned()));
    secrets.insert("LD_PRELOAD".to_owned(), Secret::new("/nowhere.so".to_owned()));
    let tools = ToolBox::open(&[server("well", "")], &place.run(), &host(), &secrets).await.unwrap();
    let run = place.run().canonicalize().unwrap();
    let expected = format!(
        "API_KEY=k-1\nHOME={run}\nLANG=C.UTF-8\nLD_PRELOAD=/nowhere.so\nPATH=/usr/local/bin:/usr/bin:/bin\nTMPDIR={run}\n",
        run = run.display()
    );
    let found = text(call(&tools, "environment").await);
    let mut lines: Vec<&str> = found.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, expected.lines().collect::<Vec<_>>());
    tools.close().await;
    secrets.insert("A=B".to_owned(), Secret::new(String::new()));
    let refused = ToolBox::open(&[server("well", "")], &place.run(), &host(), &secrets).await;
    assert!(matches!(refused, Err(ToolError::Secret(name)) if name == "A=B"));
}

#[tokio::test]
async fn servers_that_do_not_start_are_named() {
    let mut host = host();
    host.bounds.start = Duration::from_secs(2);
    let cases = [
        ("exit", "it ended with exit code 3: no configuration"),
        ("hang", "it was not ready within 2 s"),
        ("flood", "it sent more than 1048576 bytes at once"),
        ("garbage", ""),
        ("many", "more tools than the 128"),
    ];
    for (mode, expected) in cases {
        let place = Place::new(&format!("start-{mode}"));
        let started = Instant::now();
        let refused = ToolBox::open(&[server(mode, "")], &place.run(), &host, &Secrets::default()).await;
        let reason = refused.unwrap_err().to_string();
        assert!(reason.starts_with("server bad ") && reason.contains(expected), "{mode}: {reason}");
        assert!(started.elapsed() < Duration::from_secs(8), "{mode} took {:?}", started.elapsed());
        assert!(!lives(&place), "{mode}");
    }
    let place = Place::new("start-pages");
    let tools = ToolBox::open(&[server("pages", "")], &place.run(), &host, &Secrets::default()).await.unwrap();
    assert!(tools.definitions().is_empty(), "a list without an end is left");
    tools.close().await;
}

#[tokio::test]
async fn one_server_that_does_not_start_ends_the_others() {
    let place = Place::new("others");
    let mut other = server("exit", "");
    other.name = "other".to_owned();
    let refused = ToolBox::open(&[server("well", ""), other], &place.run(), &host(), &Secrets::default()).await;
    assert!(refused.unwrap_err().to_string().starts_with("server other did not start: "));
    assert!(!lives(&place));
}

#[tokio::test]
async fn a_run_has_so_many_calls() {
    let place = Place::new("calls");
    let mut host = host();
    host.bounds.calls_max = 2;
    let tools = open(&place, &host).await;
    assert!(failure(call(&tools, "nothing").await).contains("no tool"), "which costs none");
    for expected in ["a", "b"] {
        assert_eq!(text(tools.call("bad__echo", json!({"text": expected})).await), expected);
    }
    assert_eq!(failure(call(&tools, "echo").await), "this run has made the 2 calls that it can");
    tools.close().await;
}

#[tokio::test]
async fn hosts_run_what_they_list() {
    let place = Place::new("allowed");
    let launch = |program: &str| Launch::Command { program: program.to_owned(), arguments: Vec::new() };
    let by_path = example("hostile").display().to_string();
    for (program, is_allowed) in
        [("hostile", true), (by_path.as_str(), true), ("/bin/sh", false), ("sh", false), ("./hostile", false)]
    {
        let servers = [Server { name: "bad".to_owned(), launch: launch(program) }];
        let opened = ToolBox::open(&servers, &place.run(), &host(), &Secrets::default()).await;
        match opened {
            Ok(tools) => {
                assert!(is_allowed, "{program}");
                tools.close().await;
            }
            Err(ToolError::NotAllowed { program: refused, .. }) => assert!(!is_allowed && refused == program),
            Err(other) => panic!("{program}: {other}"),
        }
    }
    let refused =
        ToolBox::open(&[server("well", ""), server("well", "")], &place.run(), &host(), &Secrets::default()).await;
    assert!(matches!(refused, Err(ToolError::ServerTwice(name)) if name == "bad"));
    let refused = ToolBox::open(&[], &place.outside(), &host(), &Secrets::default()).await;
    assert!(matches!(refused, Err(ToolError::Folder { .. })));
    let url = Server { name: "far".to_owned(), launch: Launch::Url("http://169.254.169.254/latest".to_owned()) };
    let refused = ToolBox::open(&[url], &place.run(), &host(), &Secrets::default()).await;
    assert!(refused.unwrap_err().to_string().contains("not a public address"));
}

#[tokio::test]
async fn calls_of_one_server_wait_for_each_other_within_their_time() {
    let place = Place::new("beside");
    let mut host = host();
    host.bounds.call = Duration::from_secs(1);
    let tools = open(&place, &host).await;
    let (first, second): (ToolOutcome, ToolOutcome) =
        tokio::join!(call(&tools, "hang"), tools.call("bad__echo", Value::Null));
    assert!(failure(first).contains("did not answer"));
    assert!(failure(second).contains("server bad "), "it waited for one that hung");
    tools.close().await;
}
