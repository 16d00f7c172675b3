use super::{COLUMNS, ROWS, draw, in_terminal, means};

fn falling(count: u16) -> Vec<f32> {
    (0..count).map(|step| 4.0 / (1.0 + f32::from(step) / 20.0)).collect()
}

#[test]
fn few_losses_stand_for_themselves_and_many_for_their_mean() {
    assert_eq!(means(&[2.0, 1.0], 8), [(0.5, 2.0), (1.5, 1.0)]);
    assert_eq!(means(&[2.0, 1.0, 4.0], 2), [(1.0, 1.5), (2.5, 4.0)]);
    assert!(means(&[], 8).is_empty());
    assert!(means(&falling(10_000), 64).len() <= 64);
}

#[test]
fn the_terminals_picture_falls_as_the_loss_does() {
    let lines = in_terminal(&falling(640));
    assert_eq!(lines.len(), ROWS + 1);
    let filled = |line: &String| line.chars().filter(|c| ('▁'..='█').contains(c)).count();
    assert!(lines.windows(2).take(ROWS - 1).all(|pair| filled(&pair[0]) <= filled(&pair[1])));
    assert_eq!(filled(&lines[ROWS - 1]), COLUMNS);
    assert!(lines[0].trim_start().starts_with(|c: char| c.is_ascii_digit()) && lines[ROWS].ends_with("640 steps"));
    assert_eq!(in_terminal(&[]).len(), ROWS + 1);
}

#[test]
fn the_picture_is_an_svg() {
    for losses in [falling(3_000), vec![1.0]] {
        let text = draw(&losses).unwrap();
        assert!(text.starts_with("<svg") && text.trim_end().ends_with("</svg>") && text.contains("nats"));
    }
}
