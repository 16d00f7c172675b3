//! How losses fell: as a picture, and in a terminal.

use plotters::prelude::*;

#[cfg(test)]
mod tests;

/// More points than these are no other picture.
const POINTS: usize = 800;
/// Columns and rows of the terminal's picture.
const COLUMNS: usize = 64;
const ROWS: usize = 8;
/// From an empty cell to a full one.
const CELLS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// Draws the loss of each step, and its mean over the steps around it: an SVG file's text.
pub(super) fn draw(losses: &[f32]) -> Result<String, Box<dyn std::error::Error>> {
    let mut picture = String::new();
    draw_into(losses, &mut picture)?;
    Ok(picture)
}

fn draw_into(losses: &[f32], picture: &mut String) -> Result<(), Box<dyn std::error::Error>> {
    let points = means(losses, POINTS);
    let smooth = means(losses, COLUMNS);
    let most = points.iter().map(|(_, loss)| *loss).fold(f64::MIN_POSITIVE, f64::max) * 1.05;
    let root = SVGBackend::with_string(picture, (900, 480)).into_drawing_area();
    root.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&root)
        .caption("Mean loss of the examples of each step", ("sans-serif", 20))
        .margin(15)
        .x_label_area_size(40)
        .y_label_area_size(60)
        .build_cartesian_2d(0.0..losses.len().max(1) as f64, 0.0..most)?;
    chart.configure_mesh().x_desc("step").y_desc("nats").draw()?;
    chart.draw_series(LineSeries::new(points, RGBColor(170, 200, 230).stroke_width(1)))?;
    chart.draw_series(LineSeries::new(smooth, RGBColor(20, 90, 160).stroke_width(3)))?;
    root.present()?;
    Ok(())
}

/// At most `count` points: step in the middle, and mean loss.
fn means(losses: &[f32], count: usize) -> Vec<(f64, f64)> {
    let size = losses.len().div_ceil(count.max(1)).max(1);
    let pieces = losses.chunks(size).enumerate();
    let mean = |piece: &[f32]| piece.iter().map(|loss| f64::from(*loss)).sum::<f64>() / piece.len() as f64;
    pieces.map(|(index, piece)| ((index * size) as f64 + piece.len() as f64 / 2.0, mean(piece))).collect()
}

/// The same for a terminal: lines from the top down.
pub(super) fn in_terminal(losses: &[f32]) -> Vec<String> {
    let points = means(losses, COLUMNS);
    let most = points.iter().map(|(_, loss)| *loss).fold(f64::MIN_POSITIVE, f64::max);
    let steps = (ROWS * (CELLS.len() - 1)) as f64;
    let heights: Vec<usize> = points.iter().map(|(_, loss)| (loss / most * steps).round() as usize).collect();
    let row = |row: usize| -> String {
        let below = (ROWS - 1 - row) * (CELLS.len() - 1);
        let cell = |height: &usize| CELLS.get(height.saturating_sub(below).min(CELLS.len() - 1)).unwrap_or(&' ');
        let axis = match row {
            0 => format!("{most:8.4}"),
            row if row == ROWS - 1 => format!("{:8.4}", 0.0),
            _ => " ".repeat(8),
        };
        format!("{axis} │{}", heights.iter().map(cell).collect::<String>())
    };
    let mut lines: Vec<String> = (0..ROWS).map(row).collect();
    let last = losses.len().to_string();
    let room = heights.len().saturating_sub(1 + last.len());
    lines.push(format!("{} 1{}{last} steps", " ".repeat(9), " ".repeat(room)));
    lines
}
