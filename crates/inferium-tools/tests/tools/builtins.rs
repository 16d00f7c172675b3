//! The built-in servers, as a run has them: in their sandbox, over MCP.

use inferium_tools::{Builtin, Host, Launch, Secrets, Server, ToolBox, ToolOutcome};
use serde_json::json;
use std::path::Path;

#[tokio::test]
async fn built_in_servers_work_in_their_sandbox() {
    let test = std::env::current_exe().unwrap();
    let helper = test.parent().and_then(Path::parent).unwrap().join("examples/helper");
    let folder = std::env::temp_dir().join(format!("inferium-builtins-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("sales.csv"), "region,amount\nnorth,0.1\nnorth,0.2\n").unwrap();
    std::fs::write(folder.join("lease.md"), "# Leases\n\nA lease is ten minutes long.\n").unwrap();
    let servers = Builtin::ALL.map(|builtin| Server { name: builtin.to_string(), launch: Launch::Builtin(builtin) });
    let tools = ToolBox::open(&servers, &folder, &Host::new(helper), &Secrets::default()).await.unwrap();
    let names: Vec<&str> = tools.definitions().iter().map(|tool| tool.name.as_str()).collect();
    let expected = [
        "documents__list",
        "documents__read",
        "documents__search",
        "table__list",
        "table__describe",
        "table__query",
        "watch__compare",
        "watch__remember",
    ];
    assert!(expected.iter().all(|name| names.contains(name)), "{names:?}");
    for tool in tools.definitions() {
        assert!(!tool.description.is_empty() && tool.parameters["type"] == "object", "{tool:?}");
    }
    let calls = [
        ("documents__search", json!({"query": "how long is a lease"}), "A lease is ten minutes long."),
        (
            "table__query",
            json!({"path": "sales.csv", "aggregate": [{"function": "sum", "column": "amount"}]}),
            "sum(amount)\n0.3\n",
        ),
        ("watch__remember", json!({"name": "a", "text": "x"}), "remembered 1 lines"),
        ("watch__compare", json!({"name": "a", "text": "y"}), "- x\n+ y"),
    ];
    for (name, arguments, expected) in calls {
        match tools.call(name, arguments).await {
            ToolOutcome::Text(text) => assert!(text.contains(expected), "{name}: {text}"),
            ToolOutcome::Failed(reason) => panic!("{name}: {reason}"),
        }
    }
    let outcome = tools.call("documents__read", json!({"path": "/etc/passwd"})).await;
    assert!(matches!(&outcome, ToolOutcome::Failed(reason) if reason.starts_with("cannot read")), "{outcome:?}");
    tools.close().await;
    std::fs::remove_dir_all(&folder).unwrap();
}
