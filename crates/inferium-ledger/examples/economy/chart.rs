//! The chart: net by strategy over time, and work by workers' quality.

use crate::agents::Must;
use crate::simulation::{Simulation, WINDOWS};
use crate::world::Outcome;
use plotters::prelude::*;
use std::path::Path;

/// Below this the axis is linear, above logarithmic; IFR.
const KNEE: f64 = 0.01;
fn squeeze(net: f64) -> f64 {
    net.signum() * (1.0 + net.abs() / KNEE).log10()
}

/// Hues of neighbours are far apart.
fn color(index: usize) -> HSLColor {
    HSLColor((index as f64 * 0.381_966).fract(), 0.8, 0.42)
}

/// Writes both panels as one SVG file.
pub(crate) fn draw(simulation: &Simulation, path: &Path) -> Outcome<()> {
    let root = SVGBackend::new(path, (1_200, 1_250)).into_drawing_area();
    root.fill(&WHITE)?;
    let (upper, lower) = root.split_vertically(830);
    nets(simulation, &upper)?;
    shares(simulation, &lower)?;
    root.present()?;
    Ok(())
}

type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;

fn nets(simulation: &Simulation, area: &Area<'_>) -> Outcome<()> {
    let last = simulation.history.last().map_or(1, |(tasks, _)| *tasks);
    let mut chart = ChartBuilder::on(area)
        .caption("Net per agent over time, compute taken off (symmetric log scale)", ("sans-serif", 20))
        .margin(15)
        .margin_right(420)
        .x_label_area_size(40)
        .y_label_area_size(80)
        .build_cartesian_2d(0u64..last, squeeze(-600_000.0)..squeeze(10_000.0))?;
    chart
        .configure_mesh()
        .x_desc("tasks")
        .y_desc("IFR per agent")
        .y_labels(17)
        .y_label_formatter(&|y: &f64| {
            let net = if *y == 0.0 { 0.0 } else { y.signum() * KNEE * 10f64.powf(y.abs()) };
            if net.abs() < 10.0 { format!("{net:.2}") } else { format!("{net:.0}") }
        })
        .draw()?;
    for (index, strategy) in simulation.cast.strategies.iter().enumerate() {
        if strategy.must == Must::Shown {
            continue;
        }
        let agents = simulation.cast.agents.iter().filter(|agent| agent.strategy == index).count() as f64;
        let points = simulation.history.iter().map(|(tasks, nets)| (*tasks, squeeze(nets[index] / agents)));
        let style = color(index).stroke_width(if strategy.must == Must::Earn { 3 } else { 1 });
        chart
            .draw_series(LineSeries::new(points, style))?
            .label(strategy.name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], style));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::Coordinate(720, 0))
        .label_font(("sans-serif", 12))
        .border_style(TRANSPARENT)
        .draw()?;
    Ok(())
}

fn shares(simulation: &Simulation, area: &Area<'_>) -> Outcome<()> {
    let honest: Vec<usize> = classes(simulation);
    let mut chart = ChartBuilder::on(area)
        .caption("Leases per worker against the mean of all workers, by quality", ("sans-serif", 20))
        .margin(15)
        .margin_right(420)
        .x_label_area_size(40)
        .y_label_area_size(80)
        .build_cartesian_2d(0.0..WINDOWS as f64, 0.0..3.0)?;
    chart
        .configure_mesh()
        .x_desc("twentieths of the run")
        .y_desc("times the mean")
        .y_label_formatter(&|y: &f64| format!("{y:.1}"))
        .x_label_formatter(&|x: &f64| format!("{x:.0}"))
        .draw()?;
    for index in honest {
        let points = (0..WINDOWS).map(|window| (window as f64 + 0.5, relative(simulation, index, window..window + 1)));
        let style = color(index).stroke_width(2);
        chart
            .draw_series(LineSeries::new(points, style))?
            .label(simulation.cast.strategies[index].name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], style));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::Coordinate(720, 0))
        .label_font(("sans-serif", 12))
        .border_style(TRANSPARENT)
        .draw()?;
    Ok(())
}

/// Strategies of workers of which some are honest.
pub(crate) fn classes(simulation: &Simulation) -> Vec<usize> {
    let strategies = simulation.cast.strategies.iter().enumerate();
    strategies.filter(|(_, of)| of.name.starts_with("worker: honest, ")).map(|(index, _)| index).collect()
}

/// Leases per worker of a strategy against the mean over all workers, in some windows.
pub(crate) fn relative(simulation: &Simulation, strategy: usize, windows: std::ops::Range<usize>) -> f64 {
    let (mut own, mut all) = (0, 0);
    for shares in simulation.shares.get(windows).unwrap_or_default() {
        own += shares.get(&strategy).copied().unwrap_or(0);
        all += shares.values().sum::<u64>();
    }
    let agents = &simulation.cast.agents;
    let count = agents.iter().filter(|agent| agent.strategy == strategy).count() as f64;
    let workers = simulation.cast.workers.len() as f64;
    if all == 0 { 0.0 } else { own as f64 / count / (all as f64 / workers) }
}
