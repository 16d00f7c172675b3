use super::{load, percent};

#[test]
fn percentages_are_rounded_to_a_decimal() {
    for (ppm, text) in
        [(0, "0.0"), (1_000_000, "100.0"), (666_666, "66.7"), (449, "0.0"), (500, "0.1"), (999_499, "99.9")]
    {
        assert_eq!(percent(ppm), text);
    }
}

#[test]
fn suites_are_those_of_the_program_or_of_a_folder() {
    assert_eq!(load("everyday").unwrap().name(), "everyday");
    let said = load("everyday.txt").unwrap_err().to_string();
    assert!(said.contains("there is no suite") && said.contains("arithmetic, everyday, forms, towns"), "{said}");
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../suites/towns");
    assert_eq!(load(folder).unwrap().id(), load("towns").unwrap().id());
    assert!(load(env!("CARGO_MANIFEST_DIR")).unwrap_err().to_string().contains("cannot read"));
}
