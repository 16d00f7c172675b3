use super::{DataSet, InvalidDataSet};
use inferium_fuzz::{Form, Memory, Outcome, Target};
use inferium_types::{Digest, Ppm};

fn line(number: usize) -> String {
    format!("{{\"text\": \"text {number}\", \"label\": \"{}\"}}\n", number % 2)
}

fn data(lines: usize) -> DataSet {
    DataSet::parse(&(0..lines).map(line).collect::<String>()).unwrap()
}

#[test]
fn the_root_is_over_the_lines_as_they_stand() {
    let text: String = (0..3).map(line).collect();
    let root = DataSet::parse(&text).unwrap().root();
    assert_eq!(DataSet::parse(text.trim_end()).unwrap().root(), root, "the end of the last line is none of it");
    assert_eq!(DataSet::parse(&text.replace('\n', "\r\n")).unwrap().root(), root);
    assert_ne!(DataSet::parse(&text.replace("text 1", "text 7")).unwrap().root(), root);
    assert_ne!(data(4).root(), root);
    let swapped: String = [1, 0, 2].map(line).concat();
    assert_ne!(DataSet::parse(&swapped).unwrap().root(), root);
}

#[test]
fn another_data_set_is_refused_by_name() {
    let (data, other) = (data(3), data(4));
    assert_eq!(data.check(data.root()), Ok(()));
    let refused = data.check(other.root()).unwrap_err();
    assert_eq!(refused, InvalidDataSet::Root { expected: other.root(), found: data.root() });
    assert!(refused.to_string().contains(&data.root().to_string()));
}

#[test]
fn lines_that_are_none_are_refused_with_their_number() {
    let with = |bad: &str| DataSet::parse(&format!("{}{bad}\n{}", line(0), line(2))).unwrap_err();
    let bad = ["", "{", "[]", "{\"text\": \"\"}", "{\"text\": 3}", "{\"label\": \"a\"}", "{\"text\": \"a\", \"x\": 1}"];
    let labels = ["{\"text\": \"a\", \"label\": \" \"}", "{\"text\": \"a\", \"label\": \"b\\u001b[2J\"}"];
    for bad in bad.into_iter().chain(labels) {
        assert!(matches!(with(bad), InvalidDataSet::Line { line: 2, .. }), "{bad}");
    }
    assert_eq!(DataSet::parse("").unwrap_err(), InvalidDataSet::Empty);
}

#[test]
fn labels_are_all_or_none() {
    assert_eq!(data(4).labels().unwrap(), ["0", "1"]);
    assert_eq!(data(1).labels().unwrap_err(), InvalidDataSet::Labels { found: 1 });
    let mixed = DataSet::parse(&format!("{}{{\"text\": \"no label\"}}\n", line(0))).unwrap();
    assert!(matches!(mixed.labels().unwrap_err(), InvalidDataSet::Line { line: 2, .. }));
}

#[test]
fn parts_are_drawn_and_share_no_text() {
    let order = Digest::of("order", &[]);
    let data = data(1_000);
    let split = data.split(&order, Ppm::new(200_000)).unwrap();
    assert!((150..250).contains(&split.held_out.len()), "{}", split.held_out.len());
    let mut all = [split.training.clone(), split.held_out.clone()].concat();
    all.sort_unstable();
    assert_eq!(all, (0..1_000).collect::<Vec<_>>());
    assert_ne!(data.split(&Digest::ZERO, Ppm::new(200_000)).unwrap(), split, "the draw decides");
    // A line that stands twice is on one side.
    let twice = DataSet::parse(&(0..200).map(|number| line(number % 100)).collect::<String>()).unwrap();
    let split = twice.split(&order, Ppm::new(500_000)).unwrap();
    assert!(split.held_out.iter().all(|line| split.held_out.contains(&((line + 100) % 200))));
}

#[test]
fn a_part_that_would_be_empty_is_refused() {
    let split = |lines, share| data(lines).split(&Digest::ZERO, Ppm::new(share));
    assert_eq!(split(5, 0).unwrap_err(), InvalidDataSet::Split { lines: 5, held_out: 0 });
    assert_eq!(split(5, 1_000_000).unwrap_err(), InvalidDataSet::Split { lines: 5, held_out: 5 });
    assert!(split(50, 500_000).is_ok());
}

#[test]
fn damaged_lines_are_refused_or_read() {
    let target =
        Target { name: "a data set", form: Form::Text, cases: 2_000, memory: Memory { fixed: 1 << 14, per_byte: 200 } };
    let sample = (0..4).map(line).collect::<String>().into_bytes();
    let tally = target.run(&[sample], |bytes| match std::str::from_utf8(bytes).map(DataSet::parse) {
        Ok(Ok(_)) => Outcome::Value,
        _ => Outcome::Refused,
    });
    assert!(tally.unwrap().refused > 0);
}

#[test]
fn what_a_line_says_does_not_steer_a_terminal() {
    let refused = DataSet::parse("{\"text\": \"a\", \"\\u001b[2Jx\": 1}").unwrap_err().to_string();
    assert!(refused.contains("[2Jx") && !refused.chars().any(char::is_control), "{refused:?}");
}
