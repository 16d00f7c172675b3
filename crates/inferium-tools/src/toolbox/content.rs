//! What models are told of a server's answer.

use super::ToolOutcome;
use rmcp::model::{CallToolResult, ContentBlock, ResourceContents};

/// The text of an answer; what is no text is named and left out.
pub(super) fn outcome(result: CallToolResult) -> ToolOutcome {
    let failed = result.is_error == Some(true);
    let mut has_text = false;
    let parts: Vec<String> = result
        .content
        .into_iter()
        .map(|block| match block {
            ContentBlock::Text(text) => {
                has_text = true;
                text.text
            }
            ContentBlock::Image(image) => left_out("an image", &image.mime_type, image.data.len()),
            ContentBlock::Audio(audio) => left_out("a sound", &audio.mime_type, audio.data.len()),
            ContentBlock::ResourceLink(link) => {
                has_text = true;
                format!("{}: {}", link.name, link.uri)
            }
            ContentBlock::Resource(embedded) => match embedded.resource {
                ResourceContents::TextResourceContents { text, .. } => {
                    has_text = true;
                    text
                }
                ResourceContents::BlobResourceContents { mime_type, blob, .. } => {
                    left_out("a file", mime_type.as_deref().unwrap_or("of no type"), blob.len())
                }
                _ => "[something of an unknown kind, left out]".to_owned(),
            },
            _ => "[something of an unknown kind, left out]".to_owned(),
        })
        .collect();
    let structured = result.structured_content.filter(|_| !has_text).map(|value| value.to_string());
    let text = match (parts.is_empty(), structured) {
        (_, Some(structured)) => structured,
        (false, None) => parts.join("\n"),
        (true, None) => String::new(),
    };
    if failed { ToolOutcome::Failed(text) } else { ToolOutcome::Text(text) }
}

fn left_out(what: &str, kind: &str, size: usize) -> String {
    format!("[{what} ({kind}, {size} bytes in base64), left out: only text is passed on]")
}

#[cfg(test)]
mod tests {
    use super::outcome;
    use crate::ToolOutcome;
    use serde_json::json;

    #[test]
    fn answers_become_text() {
        let cases = [
            (json!({"content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}), "a\nb"),
            (json!({"content": [], "structuredContent": {"a": 1}}), r#"{"a":1}"#),
            (json!({"content": [{"type": "text", "text": "a"}], "structuredContent": {"a": 1}}), "a"),
            (json!({"content": []}), ""),
            (
                json!({"content": [{"type": "image", "data": "AAAA", "mimeType": "image/png"}]}),
                "[an image (image/png, 4 bytes in base64), left out: only text is passed on]",
            ),
        ];
        for (result, expected) in cases {
            let result = serde_json::from_value(result).unwrap();
            assert_eq!(outcome(result), ToolOutcome::Text(expected.to_owned()));
        }
        let result = json!({"content": [{"type": "text", "text": "no such row"}], "isError": true});
        let expected = ToolOutcome::Failed("no such row".to_owned());
        assert_eq!(outcome(serde_json::from_value(result).unwrap()), expected);
    }
}
