//! A run as a picture.

use super::report::Report;
use plotters::prelude::*;
use std::path::Path;

/// More points than these are no other picture.
const POINTS: usize = 400;
/// Least time that the logarithmic axis has, in milliseconds.
const LEAST: f64 = 0.01;

/// Draws, for each kind of time, which share of all was at most that long.
pub(super) fn draw(report: &Report, path: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let kinds: Vec<_> =
        report.times.iter().filter(|times| times.sorted.last().is_some_and(|last| *last > 0.0)).collect();
    let last = kinds.iter().filter_map(|times| times.sorted.last()).fold(1.0_f64, |last, time| last.max(*time));
    let first = kinds.iter().filter_map(|times| times.sorted.first()).fold(last / 2.0, |first, time| first.min(*time));
    let root = SVGBackend::new(path, (1_000, 560)).into_drawing_area();
    root.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&root)
        .caption("Share of all that took at most this long", ("sans-serif", 20))
        .margin(15)
        .margin_right(220)
        .x_label_area_size(40)
        .y_label_area_size(50)
        .build_cartesian_2d((first.max(LEAST)..last * 1.1).log_scale(), 0.0..1.0)?;
    chart.configure_mesh().x_desc("milliseconds").y_desc("share").draw()?;
    for (index, times) in kinds.into_iter().enumerate() {
        let style = Palette99::pick(index).stroke_width(2);
        let count = times.sorted.len();
        let points = times.sorted.iter().zip(1_u32..).step_by(count.div_ceil(POINTS));
        let points = points.map(|(time, rank)| (time.max(LEAST), f64::from(rank) / count as f64));
        chart
            .draw_series(LineSeries::new(points.chain([(last * 1.1, 1.0)]), style))?
            .label(times.label)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 20, y)], style));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::Coordinate(740, 20))
        .border_style(BLACK.mix(0.2))
        .draw()?;
    root.present()?;
    Ok(())
}
