//! READMEs as they are shown.

use super::html;

#[test]
fn paragraphs_lists_and_code_are_told_apart() {
    let text = "# What it does\nIt reads,\nthen `answers`.\n\n- one\n- two `x`\n\nNext.\n```\n- a <b>\n\nb\n```\nEnd.";
    let expected = "<h3>What it does</h3><p>It reads, then <code>answers</code>.</p><ul><li>one</li><li>two <code>x</code></li></ul>\
                    <p>Next.</p><pre tabindex=\"0\">- a &lt;b&gt;\n\nb</pre><p>End.</p>";
    assert_eq!(html(text).into_string(), expected);
}

#[test]
fn no_text_becomes_markup_or_a_link() {
    for text in [
        "<script>alert(1)</script>",
        "# <img src=x onerror=alert(1)>",
        "- <iframe>",
        "`<b>`",
        "```\n<style>",
        "[x](javascript:alert(1))",
        "![x](data:text/html,1)",
    ] {
        let shown = html(text).into_string();
        for tag in ["<script", "<img", "<iframe", "<b>", "<style", "<a", "href", "src=\""] {
            assert!(!shown.contains(tag), "{text}: {shown}");
        }
    }
}

#[test]
fn an_odd_backtick_and_an_open_fence_lose_nothing() {
    assert_eq!(html("a ` b").into_string(), "<p>a ` b</p>");
    assert_eq!(html("```\ncode").into_string(), "<pre tabindex=\"0\">code</pre>");
    assert_eq!(html("").into_string(), "");
}
