//! The tools of `table` on small tables.

use super::{Folder, Table};
use crate::testing::Scratch;
use serde_json::{Value, json};

const SALES: &str = "\u{feff}region,amount,day\nnorth,0.1,2026-01-02\nsouth,10,2026-01-01\nnorth,0.2,2026-01-03\n\"east, far\",,2026-01-04\n";

fn table(name: &str, files: &[(&str, &str)]) -> (Scratch, Table) {
    let scratch = Scratch::new(name);
    for (path, text) in files {
        std::fs::write(scratch.path().join(path), text).unwrap();
    }
    let table = Table::new(Folder::open(scratch.path()).unwrap());
    (scratch, table)
}

#[test]
fn tables_are_listed_and_described() {
    let lines =
        "{\"id\": 12345678901234567890123, \"name\": \"a\\nb\"}\n\n{\"id\": 1, \"tags\": [1], \"name\": null}\n";
    let (_scratch, table) = table("table-describe", &[("sales.csv", SALES), ("rows.jsonl", lines), ("a.txt", "")]);
    assert_eq!(
        table.do_call("list", json!({})).unwrap(),
        format!("rows.jsonl ({} bytes)\nsales.csv ({} bytes)\n", lines.len(), SALES.len())
    );
    let described = table.do_call("describe", json!({"path": "sales.csv"})).unwrap();
    let expected = "sales.csv: 4 rows, 3 columns\n\
        region: text, such as east, far | north | south; 3 different, 0 missing\n\
        amount: numbers, min 0.1, max 10, mean 3.433333333333; 3 different, 1 missing\n\
        day: text, such as 2026-01-01 | 2026-01-02 | 2026-01-03; 4 different, 0 missing\n";
    assert_eq!(described, expected);
    let described = table.do_call("describe", json!({"path": "rows.jsonl"})).unwrap();
    assert!(
        described.contains("id: whole numbers, min 1, max 12345678901234567890123, mean 6172839450617283945062;"),
        "{described}"
    );
    assert!(described.contains("name: text, such as a\nb; 1 different, 1 missing"), "{described}");
    assert!(described.contains("tags: text, such as [1]; 1 different, 1 missing"), "{described}");
}

#[test]
fn queries_are_answered() {
    let (_scratch, table) = table("table-query", &[("s.csv", SALES), ("s.tsv", "a\tb\n2\t\n10\tx\n9\ty\n")]);
    let cases = [
        (
            json!({"path": "s.csv", "group_by": ["region"], "aggregate": [{"function": "sum", "column": "amount"}, {"function": "count"}]}),
            "region,sum(amount),count\n\"east, far\",,1\nnorth,0.3,2\nsouth,10,1\n[3 of 3 rows; 4 of 4 rows of the table match]",
        ),
        (
            json!({"path": "s.csv", "aggregate": [{"function": "mean", "column": "amount"}, {"function": "median", "column": "amount"}, {"function": "count", "column": "amount"}, {"function": "max", "column": "day"}, {"function": "min", "column": "amount"}]}),
            "mean(amount),median(amount),count(amount),max(day),min(amount)\n3.433333333333,0.2,3,2026-01-04,0.1\n[1 of 1 rows; 4 of 4 rows of the table match]",
        ),
        (
            json!({"path": "s.csv", "filter": [{"column": "region", "op": "contains", "value": "NORTH"}], "aggregate": [{"function": "median", "column": "amount"}]}),
            "median(amount)\n0.15\n[1 of 1 rows; 2 of 4 rows of the table match]",
        ),
        (
            json!({"path": "s.csv", "select": ["day", "amount"], "filter": [{"column": "amount", "op": "ge", "value": 0.20}], "sort": [{"by": "amount", "descending": true}]}),
            "day,amount\n2026-01-01,10\n2026-01-03,0.2\n[2 of 2 rows; 2 of 4 rows of the table match]",
        ),
        (
            json!({"path": "s.csv", "select": ["day"], "filter": [{"column": "amount", "op": "missing"}]}),
            "day\n2026-01-04\n[1 of 1 rows; 1 of 4 rows of the table match]",
        ),
        (
            json!({"path": "s.csv", "select": ["day"], "filter": [{"column": "day", "op": "lt", "value": "2026-01-03"}, {"column": "region", "op": "ne", "value": "south"}]}),
            "day\n2026-01-02\n[1 of 1 rows; 1 of 4 rows of the table match]",
        ),
        (
            json!({"path": "s.csv", "filter": [{"column": "region", "op": "eq", "value": "west"}], "aggregate": [{"function": "count"}, {"function": "sum", "column": "amount"}]}),
            "count,sum(amount)\n0,\n[1 of 1 rows; 0 of 4 rows of the table match]",
        ),
        (
            json!({"path": "s.tsv", "sort": [{"by": "a"}], "limit": 2}),
            "a,b\n2,\n9,y\n[2 of 3 rows; 3 of 3 rows of the table match]",
        ),
        (
            json!({"path": "s.tsv", "sort": [{"by": "b", "descending": true}], "filter": [{"column": "a", "op": "present"}]}),
            "a,b\n9,y\n10,x\n2,\n[3 of 3 rows; 3 of 3 rows of the table match]",
        ),
    ];
    for (query, expected) in cases {
        assert_eq!(table.do_call("query", query.clone()).unwrap(), expected, "{query}");
    }
}

#[test]
fn what_can_not_be_answered_is_named() {
    let files = [
        ("s.csv", SALES),
        ("ragged.csv", "a,b\n1\n"),
        ("twice.csv", "a,a\n1,2\n"),
        ("bad.jsonl", "{\"a\": 1}\n[1]\n"),
        ("empty.csv", ""),
        ("large.csv", "a\n79228162514264337593543950335\n1\n"),
    ];
    let (_scratch, table) = table("table-refused", &files);
    let sum = |path: &str, column: &str| json!({"path": path, "aggregate": [{"function": "sum", "column": column}]});
    let refused: [(&str, Value, &str); 13] = [
        ("query", sum("s.csv", "region"), "sum of \"region\": \"north\" is no number"),
        ("query", sum("s.csv", "price"), "there is no column \"price\"; there are region, amount, day"),
        ("query", sum("large.csv", "a"), "more than 28 digits"),
        ("query", json!({"path": "s.csv", "aggregate": [{"function": "sum"}]}), "sum needs a column"),
        ("query", json!({"path": "s.csv", "aggregate": [{"function": "mode"}]}), "unknown variant `mode`"),
        ("query", json!({"path": "s.csv", "limit": 0}), "limit is 1 to 1000"),
        ("query", json!({"path": "s.csv", "select": ["day"], "group_by": ["day"]}), "select goes with neither"),
        ("query", json!({"path": "s.csv", "filter": [{"column": "day", "op": "eq"}]}), "value is a text"),
        ("query", json!({"path": "s.csv", "where": "1=1"}), "unknown field `where`"),
        ("describe", json!({"path": "ragged.csv"}), "found record with 1 fields"),
        ("describe", json!({"path": "twice.csv"}), "two columns are called \"a\""),
        ("describe", json!({"path": "bad.jsonl"}), "line 2: no object of JSON"),
        ("describe", json!({"path": "s.xlsx"}), "is no table"),
    ];
    for (tool, arguments, expected) in refused {
        let reason = table.do_call(tool, arguments.clone()).unwrap_err();
        assert!(reason.contains(expected), "{tool} {arguments}: {reason}");
    }
    assert!(table.do_call("describe", json!({"path": "empty.csv"})).unwrap_err().contains("it has 0 columns"));
}

#[test]
fn only_plain_numbers_are_numbers() {
    for (text, expected) in
        [("1", "1"), ("-1.50", "-1.5"), ("+2", "2"), (".5", "0.5"), ("1e3", "1000"), ("2.5E-3", "0.0025")]
    {
        assert_eq!(super::data::number(text).map(super::query::in_words).as_deref(), Some(expected), "{text}");
    }
    for text in ["", "a", "1,000", "1_000", "2026-01-01", "NaN", "0x10", "1e99", "1.00000000000000000000000000000001"] {
        assert_eq!(super::data::number(text), None, "{text}");
    }
}
