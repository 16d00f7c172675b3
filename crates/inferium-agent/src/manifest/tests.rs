//! Manifests are read strictly, and what `init` writes can be published.

use super::{Launch, Manifest};
use inferium_types::{AgentId, Amount, Digest, ProfileId, Recipients, SecretKey, SpendingPolicy};

fn template() -> String {
    Manifest::template("plain", "helper", "a model").unwrap()
}

fn terms(text: &str) -> Result<inferium_types::AgentTerms, String> {
    Manifest::read(text)?.terms(Digest::sha256(text.as_bytes()), ProfileId::new(Digest::ZERO))
}

#[test]
fn what_init_writes_can_be_published() {
    let manifest = Manifest::read(&template()).unwrap();
    assert_eq!((manifest.name.as_str(), manifest.model.as_str()), ("helper", "a model"));
    let terms = terms(&template()).unwrap();
    assert_eq!(terms.price, Amount::from_nano(10_000_000));
    assert_eq!((terms.limits.steps, terms.limits.run_ms), (16, 300_000));
    assert_eq!(terms.policy.recipients, Recipients::Nobody);
}

/// Every line that is only a comment there can be taken as it is explained.
#[test]
fn spending_and_tools_are_read() {
    let address = SecretKey::from_bytes([7; 32]).unwrap().public_key();
    let agent = AgentId::new(Digest::sha256(b"another agent"));
    let text = template()
        .replace("# per_run", "per_run")
        .replace("# per_day", "per_day")
        .replace(
            "# recipients = [\"ADDRESS\", \"agent:ID\"]",
            &format!("recipients = [\"{address}\", \"agent:{agent}\"]"),
        )
        .replace("# expires", "expires")
        .replace("# [tools", "[tools")
        .replace("# command", "command")
        .replace("# url", "url");
    let mut accounts = vec![address, agent.account()];
    accounts.sort();
    let expected = SpendingPolicy {
        per_run: Amount::from_nano(500_000_000),
        per_day: Amount::from_ifr(2),
        recipients: Recipients::Listed(accounts),
        expires_at_ms: 1_830_211_200_000,
    };
    assert_eq!(terms(&text).unwrap().policy, expected);
    let anybody = template().replace("# recipients = [\"ADDRESS\", \"agent:ID\"]   # or ", "recipients = ");
    assert_eq!(terms(&anybody).unwrap().policy.recipients, Recipients::Anybody);
}

#[test]
fn what_is_wrong_in_a_manifest_is_named() {
    let changed = |from: &str, to: &str| {
        let text = template();
        assert!(text.contains(from), "{from}");
        terms(&text.replace(from, to)).unwrap_err()
    };
    let unknown = changed("summary", "sumary");
    assert!(unknown.contains("unknown field `sumary`") && unknown.contains("line "), "{unknown}");
    let unknown = changed("tool_calls = 32", "toolcalls = 32");
    assert!(unknown.contains("unknown field `toolcalls`") && unknown.contains("line "), "{unknown}");
    for (from, to, says) in [
        ("name = \"helper\"", "name = \"Helper\"", "`name` is"),
        ("model = \"a model\"\n", "", "missing field `model`"),
        ("price = \"0.01\"", "price = \"0\"", "`price` must be above zero"),
        ("price = \"0.01\"", "price = \"1.0000000001\"", "`price`: an amount has at most 9 decimals"),
        ("price = \"0.01\"", "price = 0.01", "line "),
        ("steps = 16 ", "steps = 65 ", "`limits`: 1 to 64 steps"),
        ("steps = 16 ", "steps = -1 ", "line "),
        ("seconds = 300", "seconds = 0", "a second at least"),
        ("[spending]", "[spending]\nper_run = \"-1\"", "`spending.per_run`"),
        ("[spending]", "[spending]\nrecipients = [\"somebody\"]", "\"somebody\" is no address"),
        ("[spending]", "[spending]\nrecipients = [\"anybody\", \"anybody\"]", "stands alone"),
        ("[spending]", "[spending]\nexpires = 2027-01-01", "`spending.expires` is a date and time"),
        (
            "[spending]",
            "[tools.x]\ncommand = [\"a\"]\nurl = \"b\"\n[spending]",
            "one of `builtin`, `command` and `url`",
        ),
        ("[spending]", "[tools.x]\n[spending]", "one of `builtin`, `command` and `url`"),
        ("[limits]", "secrets = [\"KEY=value\"]\n[limits]", "names, never values"),
    ] {
        let error = changed(from, to);
        assert!(error.contains(says), "{to}: {error}");
    }
}

#[test]
fn every_template_can_be_published_as_it_is() {
    let templates: Vec<&str> = Manifest::templates().collect();
    assert_eq!(templates, ["plain", "research", "analyst", "watcher"]);
    for template in templates {
        let text = Manifest::template(template, "mine", "a \"model\"").unwrap();
        let manifest = Manifest::read(&text).unwrap();
        assert_eq!((manifest.name.as_str(), manifest.model.as_str()), ("mine", "a \"model\""), "{template}");
        assert_eq!(manifest.readme.is_empty(), template == "plain", "{template}");
        assert!(!terms(&text).unwrap().price.is_zero() && !manifest.may_pay());
    }
    assert_eq!(Manifest::template("other", "mine", "a model"), None);
}

#[test]
fn a_server_is_in_one_place() {
    let with = |more: &str| Manifest::read(&format!("{}{more}", template()));
    let manifest = with(
        "[tools.a]\nbuiltin = \"table\"\n[tools.b]\ncommand = [\"x\", \"y\"]\n[tools.c]\nurl = \"https://a.example\"\n",
    );
    let manifest = manifest.unwrap();
    let launches: Vec<_> = manifest.tools.values().map(|server| server.launch().unwrap()).collect();
    let command = ["x".to_owned(), "y".to_owned()];
    assert_eq!(launches, [Launch::Builtin("table"), Launch::Command(&command), Launch::Url("https://a.example")]);
    for (more, says) in [
        ("[tools.a]\n", "has one of"),
        ("[tools.a]\nbuiltin = \"table\"\nurl = \"x\"\n", "has one of"),
        ("[tools.\"a__b\"]\nbuiltin = \"table\"\n", "a server's name"),
        ("[[prepare]]\ntool = \"a__list\"\n", "is no SERVER__TOOL"),
        ("[tools.a]\nbuiltin = \"table\"\n[[prepare]]\ntool = \"a_list\"\n", "is no SERVER__TOOL"),
        ("[tools.a]\nbuiltin = \"table\"\n[[prepare]]\ntool = \"a__list\"\narguments = 1\n", "are no table"),
    ] {
        let error = with(more).unwrap_err();
        assert!(error.contains(says), "{more}: {error}");
    }
    let prepared = "[[prepare]]\ntool = \"a__list\"\n".repeat(17);
    assert!(with(&format!("[tools.a]\nbuiltin = \"table\"\n{prepared}")).unwrap_err().contains("at most 16"));
    for (line, says) in [("answer_tokens = 0", "above zero"), ("temperature = 2.1", "from 0 to 2")] {
        let text = template().replace("summary =", &format!("{line}\nsummary ="));
        assert!(Manifest::read(&text).unwrap_err().contains(says), "{line}");
    }
    let hot = template().replace("summary =", "temperature = 2.0\nsummary =");
    assert_eq!(Manifest::read(&hot).unwrap().sampling().temperature_micro, 2_000_000);
}

/// A variable that a loader or interpreter reads would run a stranger's code in a listed program's sandbox.
#[test]
fn secrets_are_no_variables_that_programs_obey() {
    for name in ["TOKEN", "API_KEY", "MY_INDEX_TOKEN", "A1_SECRET", "DB_PASSWORD"] {
        assert!(crate::is_secret_name(name), "{name}");
    }
    let long = format!("{}_KEY", "A".repeat(61));
    for name in
        ["", "LD_PRELOAD", "PATH", "PYTHONPATH", "BASH_ENV", "token", "_TOKEN", "MYTOKEN", "A=KEY", "1_KEY", &long]
    {
        assert!(!crate::is_secret_name(name), "{name}");
    }
}
