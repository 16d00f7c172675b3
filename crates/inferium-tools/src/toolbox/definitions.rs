//! Which tools a model is told of, and under which names.

use super::{ToolDefinition, ToolError};
use rmcp::model::Tool;
use serde_json::Value;
use std::collections::BTreeMap;

/// Tools of a run: as many as OpenAI's interface takes.
pub(super) const TOOLS_MAX: usize = 128;

/// Characters of a tool's name for models.
const NAME_MAX: usize = 64;

/// Characters of a server's name.
const SERVER_NAME_MAX: usize = 32;

/// Description and schema of one tool, in bytes: every model call pays for them.
const TOOL_BYTES_MAX: usize = 16 << 10;

/// All tools of a run, and who has them.
#[derive(Debug, Default)]
pub(super) struct Definitions {
    pub(super) list: Vec<ToolDefinition>,
    /// By name for models: number of the server, and what it calls the tool itself.
    pub(super) owners: BTreeMap<String, (usize, String)>,
}

impl Definitions {
    /// Adds the tools of a server, which is the `index`th.
    pub(super) fn add(&mut self, index: usize, server: &str, tools: Vec<Tool>) -> Result<(), ToolError> {
        for tool in tools {
            let server = || server.to_owned();
            let own = tool.name.into_owned();
            let name = format!("{}__{}", server(), own.replace(|c| !is_allowed(c), "_"));
            if name.len() > NAME_MAX || own.is_empty() {
                return Err(ToolError::ToolName { server: server(), tool: shortened(&own), name, max: NAME_MAX });
            }
            let description = tool.description.unwrap_or_default().into_owned();
            let parameters = Value::Object((*tool.input_schema).clone());
            let bytes = description.len() + parameters.to_string().len();
            if bytes > TOOL_BYTES_MAX {
                return Err(ToolError::ToolSize { server: server(), tool: own, bytes, max: TOOL_BYTES_MAX });
            }
            if self.list.len() == TOOLS_MAX {
                return Err(ToolError::TooManyTools { server: server(), max: TOOLS_MAX });
            }
            if self.owners.insert(name.clone(), (index, own)).is_some() {
                return Err(ToolError::ToolTwice { server: server(), name });
            }
            self.list.push(ToolDefinition { name, description, parameters });
        }
        Ok(())
    }
}

/// Refuses names that can't stand before those of tools.
pub(super) fn check_server_name(name: &str) -> Result<(), ToolError> {
    let is_name = (1..=SERVER_NAME_MAX).contains(&name.len()) && name.chars().all(is_allowed) && !name.contains("__");
    if is_name { Ok(()) } else { Err(ToolError::ServerName(shortened(name))) }
}

fn is_allowed(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '-' || c == '_'
}

/// Enough of a name to find it by, of whoever may have made it as long as possible.
fn shortened(name: &str) -> String {
    name.chars().take(NAME_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::{Definitions, TOOLS_MAX, check_server_name};
    use crate::ToolError;
    use rmcp::model::{JsonObject, Tool};

    fn tool(name: &str) -> Tool {
        Tool::new(name.to_owned(), "what it does", JsonObject::new())
    }

    fn added(names: &[&str]) -> Result<Vec<String>, ToolError> {
        let mut all = Definitions::default();
        all.add(0, "docs", names.iter().map(|name| tool(name)).collect())?;
        Ok(all.list.into_iter().map(|tool| tool.name).collect())
    }

    #[test]
    fn names_are_made_of_what_models_can_call() {
        assert_eq!(added(&["search", "read.part/1"]).unwrap(), ["docs__search", "docs__read_part_1"]);
        let names = added(&[&"a".repeat(58)]).unwrap();
        assert_eq!(names[0].len(), 64);
    }

    #[test]
    fn what_a_model_could_not_call_is_refused_by_name() {
        let long = "a".repeat(59);
        assert!(matches!(added(&[&long]), Err(ToolError::ToolName { tool, .. }) if tool == long));
        assert!(matches!(added(&[""]), Err(ToolError::ToolName { .. })));
        assert!(matches!(added(&["a.b", "a/b"]), Err(ToolError::ToolTwice { name, .. }) if name == "docs__a_b"));
        let many: Vec<String> = (0..=TOOLS_MAX).map(|n| n.to_string()).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert!(matches!(added(&many), Err(ToolError::TooManyTools { .. })));
        assert_eq!(added(&many[1..]).unwrap().len(), TOOLS_MAX);
        let mut all = Definitions::default();
        let wordy = Tool::new("a", "x".repeat(17_000), JsonObject::new());
        assert!(matches!(all.add(0, "docs", vec![wordy]), Err(ToolError::ToolSize { bytes: 17_002, .. })));
    }

    #[test]
    fn server_names_leave_it_clear_where_they_end() {
        for name in ["docs", "my-index", "a_b", &"a".repeat(32)] {
            assert!(check_server_name(name).is_ok(), "{name}");
        }
        for name in ["", "a b", "a__b", "ä", &"a".repeat(33)] {
            assert!(check_server_name(name).is_err(), "{name}");
        }
    }
}
