use super::{InvalidSuite, Suite};
use crate::{BUILTIN, Target, builtin};
use std::collections::BTreeSet;

const CHAT: &str = "name = \"test\"\nversion = 1\nabout = \"A test.\"\n[template]\nkind = \"chat\"\nprompt = \"Say {input}.\"\ntokens_max = 4\n[scorer]\nkind = \"exact\"\n";
const ITEMS: &str =
    "{\"id\": \"a\", \"input\": \"one\", \"answer\": \"1\"}\n{\"id\": \"b\", \"input\": \"two\", \"answer\": \"2\"}\n";

fn refusal(definition: &str, items: &str) -> String {
    Suite::parse(definition, items).unwrap_err().to_string()
}

#[test]
fn the_projects_own_suites_hold() {
    let mut ids = BTreeSet::new();
    for name in BUILTIN {
        let suite = builtin(name).unwrap().unwrap();
        assert_eq!(suite.name(), name);
        assert!(suite.items().len() >= 60, "{name}");
        assert!(ids.insert(suite.id()));
        // Of a choice that is always at the same place, a model that says nothing but that place knows all.
        let mut places = BTreeSet::new();
        for item in suite.items() {
            if let Target::Choice { answer, .. } = item.target {
                places.insert(answer);
            }
        }
        assert!(places.is_empty() || places.len() == 4, "{name}");
    }
    assert!(builtin("everything").is_none());
}

#[test]
fn a_prompt_has_the_input_in_its_place_alone() {
    let items = ITEMS.replace("one", "{input} {x}");
    let suite = Suite::parse(CHAT, &items).unwrap();
    assert_eq!(suite.prompt(&suite.items()[0]), "Say {input} {x}.");
    assert_eq!(suite.prompt(&suite.items()[1]), "Say two.");
}

#[test]
fn whatever_changes_a_score_changes_the_id_and_nothing_else_does() {
    let id = Suite::parse(CHAT, ITEMS).unwrap().id();
    for (from, to) in [("about = \"A test.\"", "about = \"Another.\""), ("version = 1\n", "version = 1 # the first\n")]
    {
        assert_eq!(Suite::parse(&CHAT.replace(from, to), ITEMS).unwrap().id(), id, "{to}");
    }
    let edits = [
        ("\"test\"", "\"tests\""),
        ("version = 1", "version = 2"),
        ("Say {input}", "Tell {input}"),
        ("tokens_max = 4", "tokens_max = 5"),
        ("tokens_max = 4", "tokens_max = 4\nstop = [\"x\"]"),
        ("tokens_max = 4", "tokens_max = 4\nsystem = \"\""),
        ("kind = \"exact\"", "kind = \"exact\"\nignore_case = true"),
        ("kind = \"exact\"", "kind = \"exact\"\npattern = \"[0-9]+\""),
        ("kind = \"exact\"", "kind = \"exact\"\ntake = \"last\""),
    ];
    let mut seen = BTreeSet::from([id]);
    for (from, to) in edits {
        assert!(seen.insert(Suite::parse(&CHAT.replace(from, to), ITEMS).unwrap().id()), "{to}");
    }
    for items in [ITEMS.replace("two", "too"), ITEMS.replace("\": \"1", "\":\"1"), ITEMS.trim_end().to_owned()] {
        assert!(seen.insert(Suite::parse(CHAT, &items).unwrap().id()), "{items}");
    }
}

#[test]
fn items_are_refused_with_their_line() {
    let cases = [
        ("{\"id\": \"b\", \"input\": \"two\"}", "missing field `answer`"),
        ("{\"id\": \"b\", \"input\": \"two\", \"answer\": \"2\", \"hint\": 1}", "unknown field `hint`"),
        ("{\"id\": \"a\", \"input\": \"two\", \"answer\": \"2\"}", "\"a\" was there before"),
        ("{\"id\": \"\", \"input\": \"two\", \"answer\": \"2\"}", "is empty"),
        ("{\"id\": \"b\", \"input\": \" \", \"answer\": \"2\"}", "is empty"),
        ("{\"id\": \"b\", \"input\": \"two\", \"answer\": \"2 \"}", "white space"),
        ("", "it is empty"),
        ("two", "expected"),
    ];
    let first = ITEMS.lines().next().unwrap();
    for (line, expected) in cases {
        let said = refusal(CHAT, &format!("{first}\n{line}\n"));
        assert!(said.contains("line 2 of the items") && said.contains(expected), "{line}: {said}");
    }
    assert!(matches!(Suite::parse(CHAT, ""), Err(InvalidSuite::Count { found: 0 })));
}

#[test]
fn choices_are_several_and_the_answer_is_one_of_them() {
    let definition = CHAT
        .replace(
            "kind = \"chat\"\nprompt = \"Say {input}.\"\ntokens_max = 4",
            "kind = \"completion\"\nprompt = \"{input}\"\ndelimiter = \" \"",
        )
        .replace("\"exact\"", "\"choice\"\nlength_normalised = false");
    let item = |input: &str, choices: &str, answer: usize| {
        format!("{{\"id\": \"a\", \"input\": \"{input}\", \"choices\": {choices}, \"answer\": {answer}}}\n")
    };
    assert!(Suite::parse(&definition, &item("x", "[\"a\", \"b\"]", 1)).is_ok());
    let cases = [
        ("x", "[\"a\"]", 0, "at least two"),
        ("x", "[\"a\", \"a\"]", 0, "each another"),
        ("x", "[\"a\", \" b\"]", 0, "white space"),
        ("x", "[\"a\", \"\"]", 0, "empty"),
        ("x", "[\"a\", \"b\"]", 2, "the answer is choice 2"),
        ("x ", "[\"a\", \"b\"]", 1, "white space"),
    ];
    for (input, choices, answer, expected) in cases {
        let said = refusal(&definition, &item(input, choices, answer));
        assert!(said.contains(expected), "{choices}: {said}");
    }
    let said = refusal(&definition.replace("\"{input}\"", "\"{input} \""), &item("x", "[\"a\", \"b\"]", 1));
    assert!(said.contains("delimiter"), "{said}");
}

#[test]
fn definitions_are_refused_by_what_is_wrong_with_them() {
    let cases = [
        ("about = \"A test.\"", "about = \"A test.\"\nauthor = \"me\"", "unknown field `author`"),
        ("tokens_max = 4", "tokens_max = 4\ntemperature = 1", "unknown field `temperature`"),
        ("tokens_max = 4", "", "tokens_max"),
        ("\"test\"", "\"Te st\"", "lower-case"),
        ("\"Say {input}.\"", "\"Say it.\"", "0 times"),
        ("\"Say {input}.\"", "\"{input} {input}\"", "2 times"),
        ("\"exact\"", "\"guess\"", "guess"),
        ("\"exact\"", "\"retrieval\"", "kind `retrieval` can't score what a template of kind `chat`"),
        ("\"exact\"", "\"exact\"\npattern = \"(\"", "pattern"),
        ("\"exact\"", "\"exact\"\npattern = \"(a)(b)\"", "more than one group"),
    ];
    for (from, to, expected) in cases {
        let said = refusal(&CHAT.replace(from, to), ITEMS);
        assert!(said.contains(expected), "{to}: {said}");
    }
}

#[test]
fn a_schema_that_is_none_is_refused() {
    let definition = CHAT.replace("\"exact\"", "\"json\"");
    let item = |schema: &str| format!("{{\"id\": \"a\", \"input\": \"x\", \"schema\": {schema}}}\n");
    assert!(Suite::parse(&definition, &item("{\"type\": \"object\"}")).is_ok());
    assert!(refusal(&definition, &item("{\"type\": \"thing\"}")).contains("the schema"));
}
