//! What a stranger wrote is neither markup nor a formula.

use super::{Cell, Table};

fn table(text: &str) -> Table {
    Table {
        caption: "c",
        columns: &[("name", "Name", false), ("n", "N", true)],
        rows: vec![vec![Cell::text(text), Cell::number(1_234)]],
        next: None,
        empty: "",
    }
}

#[test]
fn texts_are_escaped_in_html() {
    let html = table("<script>alert(1)</script>").html().into_string();
    assert!(!html.contains("<script>") && html.contains("&lt;script&gt;"), "{html}");
}

#[test]
fn spreadsheets_get_texts_and_no_formulas() {
    assert_eq!(table("=1+1").csv(), "name,n\r\n'=1+1,1234\r\n");
    assert_eq!(table("a,\"b\"").csv(), "name,n\r\n\"a,\"\"b\"\"\",1234\r\n");
}

#[test]
fn the_json_twin_has_the_same_rows() {
    assert_eq!(table("x").json(), serde_json::json!({"data": [{"n": 1234, "name": "x"}], "next": null}));
}
