//! `inferium studio hire`: another agent, written into a manifest whose runs may hire it.

use super::runs;
use crate::cli::{Failure, ServerArgs};
use crate::keys::text;
use crate::output;
use crate::progress::{print, say};
use inferium_agent::Manifest;
use inferium_types::{AgentId, Digest, is_agent_name};
use serde_json::json;
use std::path::Path;

pub(super) async fn run(agent: &str, into: &Path, called: Option<String>, server: &ServerArgs) -> Result<(), Failure> {
    let cannot =
        |what: &str, error: &std::io::Error| Failure::usage(format!("cannot {what} {}: {error}", into.display()));
    let before = std::fs::read_to_string(into).map_err(|error| cannot("read", &error))?;
    let found = runs::agent(agent, server).await?;
    let manifest = text(&found, "manifest");
    let (id, version) = (text(&found, "id"), text(&found, "version_digest"));
    let is_asked = AgentId::from_hex(agent).is_none_or(|asked| asked.to_string() == id);
    let is_whole = is_asked
        && AgentId::from_hex(id).is_some()
        && Digest::from_hex(version).is_some()
        && Digest::sha256(manifest.as_bytes()).to_string() == text(&found, "manifest_sha256");
    if !is_whole {
        return Err(Failure::failed("the gateway's answer does not hold together: manifest, hash, id and version"));
    }
    let name = called.unwrap_or_else(|| text(&found, "name").to_owned());
    if !is_agent_name(&name) {
        return Err(Failure::failed("the gateway's answer does not hold together: the agent's name is none"));
    }
    let after = with_hired(&before, &name, (id, version, manifest)).map_err(Failure::refused)?;
    // Nothing but that table is new, whatever the gateway said.
    let table = |text: &str| {
        text.parse::<toml::Table>().map_err(|error| Failure::refused(format!("{}: {error}", into.display())))
    };
    let (mut with, without) = (table(&after)?, table(&before)?);
    if let Some(toml::Value::Table(hire)) = with.get_mut("hire") {
        drop(hire.remove(&name));
        if hire.is_empty() && !without.contains_key("hire") {
            with.remove("hire");
        }
    }
    if with != without {
        return Err(Failure::failed(
            "the gateway's answer does not hold together: it would change more than whom to hire",
        ));
    }
    // Whole or not at all: it may be the only copy of a manifest.
    let beside = into.with_extension("toml.new");
    std::fs::write(&beside, &after).map_err(|error| cannot("write beside", &error))?;
    std::fs::rename(&beside, into).map_err(|error| cannot("write", &error))?;
    let missing = Manifest::read(&after).err();
    if output::is_json() {
        let (price, file) = (text(&found, "price"), into);
        return output::print_json(&json!({
            "manifest": file, "hire": name, "agent": id, "version_digest": version, "price": price, "missing": missing,
        }));
    }
    if let Some(reason) = missing {
        say(&format!("before it can be published: {reason}"));
    }
    print(&format!("{} may hire {name} for {} IFR a run", into.display(), text(&found, "price")))
}

/// The manifest with one more agent that it may hire.
fn with_hired(before: &str, name: &str, (id, version, manifest): (&str, &str, &str)) -> Result<String, String> {
    if before.lines().any(|line| line.trim() == format!("[hire.{name}]")) {
        return Err(format!(
            "the manifest has a [hire.{name}] already: take it out first, or give another name with --called"
        ));
    }
    // A line break behind the quotes is not part of the text. What can't stand between them is written with escapes, which
    // are JSON's as well.
    let is_plain = !manifest.contains("'''")
        && !manifest.ends_with('\'')
        && manifest.chars().all(|letter| letter == '\n' || letter == '\t' || !letter.is_control());
    let quoted = if is_plain { format!("'''\n{manifest}'''") } else { json!(manifest).to_string() };
    let end = if before.is_empty() || before.ends_with('\n') { "" } else { "\n" };
    Ok(format!("{before}{end}\n[hire.{name}]\nagent = \"{id}\"\nversion = \"{version}\"\nmanifest = {quoted}\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEFORE: &str = "name = \"boss\"\nmodel = \"mock\"\nprice = \"0.01\"\nsystem_prompt = \"Delegate.\"\n\
        [limits]\nsteps = 1\ntokens = 100\ntool_calls = 1\nseconds = 9\n\
        [spending]\nper_run = \"1\"\nper_day = \"1\"\nrecipients = [\"anybody\"]";

    fn clerk(readme: &str) -> String {
        format!(
            "name = \"clerk\"\nmodel = \"mock\"\nprice = \"0.5\"\nsystem_prompt = \"File it.\"\nreadme = {readme}\n\
             [limits]\nsteps = 1\ntokens = 100\ntool_calls = 0\nseconds = 9\n"
        )
    }

    #[test]
    fn what_is_written_reads_back_byte_for_byte_whatever_stands_in_it() {
        let id = Digest::sha256(b"clerk").to_string();
        for readme in ["'plain'", "\"\"\"two\nlines\"\"\"", "'''three quotes'''", "\"\\u0007 \\\\ é\"", "\"a\"\r"] {
            for end in ["", "\n", "# '"] {
                let manifest = format!("{}{end}", clerk(readme));
                let after = with_hired(BEFORE, "helper", (&id, &id, &manifest)).unwrap();
                let read = Manifest::read(&after).unwrap_or_else(|error| panic!("{error}\n{after}"));
                assert_eq!(read.hire["helper"].read().unwrap().manifest, manifest);
            }
        }
    }

    #[test]
    fn a_name_that_is_taken_is_refused() {
        let id = Digest::sha256(b"clerk").to_string();
        let once = with_hired(BEFORE, "helper", (&id, &id, &clerk("''"))).unwrap();
        assert!(with_hired(&once, "helper", (&id, &id, &clerk("''"))).unwrap_err().contains("--called"));
        assert!(with_hired(&once, "other", (&id, &id, &clerk("''"))).is_ok());
    }
}
