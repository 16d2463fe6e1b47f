//! The plot: time an event over the number of rules, both axes logarithmic, a line an engine.

use std::fmt::Write as _;

use super::number::{count, time};
use crate::measure::Measured;

const WIDTH: f64 = 900.0;
const HEIGHT: f64 = 560.0;
const LEFT: f64 = 78.0;
const RIGHT: f64 = 640.0;
const TOP: f64 = 56.0;
const BOTTOM: f64 = 510.0;
/// Room that a label wants to itself.
const LABEL_HEIGHT: f64 = 19.0;
/// Colours that can be told apart on white and on black.
const COLOURS: &[&str] = &[
    "#e8590c", "#1c7ed6", "#2f9e44", "#74b816", "#ae3ec9", "#7048e8", "#0c8599", "#c2255c",
    "#a07000", "#868e96",
];

/// A line of the plot.
struct Line {
    label: &'static str,
    /// Rules and nanoseconds.
    points: Vec<(f64, f64)>,
    /// Saker's own stand out.
    own: bool,
}

/// A plot.
pub struct Plot {
    lines: Vec<Line>,
}

/// Everyday events of all engines.
pub fn everyday(measured: &[Measured]) -> Plot {
    let engines = measured.first().map_or(&[][..], |measured| &measured.benign.rows);
    let line = |kind: &'static crate::engines::Kind| Line {
        label: kind.title,
        points: measured
            .iter()
            .filter_map(|measured| {
                let row = measured.benign.rows.iter().find(|row| row.kind.name == kind.name)?;
                Some((measured.rules as f64, row.mean))
            })
            .collect(),
        own: kind.title.starts_with("Saker"),
    };
    Plot { lines: engines.iter().map(|row| line(row.kind)).collect() }
}

impl Plot {
    /// The plot as SVG, which follows the reader's light or dark mode.
    pub fn svg(&self) -> String {
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
             font-family=\"system-ui, sans-serif\" font-size=\"14\" role=\"img\">\n\
             <title>Time an event over the number of rules</title>\n<style>\n\
             .text {{ fill: #24292f; }} .soft {{ fill: #57606a; }} .grid {{ stroke: #d0d7de; }}\n\
             @media (prefers-color-scheme: dark) {{\n\
             .text {{ fill: #e6edf3; }} .soft {{ fill: #9198a1; }} .grid {{ stroke: #3d444d; }}\n\
             }}\n</style>\n\
             <text class=\"text\" x=\"{LEFT}\" y=\"26\" font-size=\"17\" font-weight=\"600\">Time \
             an event (everyday names, both axes logarithmic; lower is better)</text>\n"
        );
        let scales = Scales::of(&self.lines);
        self.grid(&mut svg, &scales);
        self.curves(&mut svg, &scales);
        svg.push_str("</svg>\n");
        svg
    }

    fn grid(&self, svg: &mut String, scales: &Scales) {
        for power in scales.lowest..=scales.highest {
            let (nanoseconds, y) = (10_f64.powi(power), scales.y(10_f64.powi(power)));
            let label = time(nanoseconds).replace(".00", "").replace(".0", "");
            let _ = writeln!(
                svg,
                "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{RIGHT}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\n\
                 <text class=\"soft\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{label}</text>",
                LEFT - 10.0,
                y + 5.0
            );
        }
        for rules in self.lines.first().into_iter().flat_map(|line| &line.points) {
            let _ = writeln!(
                svg,
                "<text class=\"soft\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{} \
                 rules</text>",
                scales.x(rules.0),
                BOTTOM + 26.0,
                count(rules.0 as usize)
            );
        }
    }

    fn curves(&self, svg: &mut String, scales: &Scales) {
        let ends: Vec<f64> = self
            .lines
            .iter()
            .map(|line| line.points.last().map_or(BOTTOM, |point| scales.y(point.1)))
            .collect();
        let labels = spread(&ends, LABEL_HEIGHT);
        for (place, line) in self.lines.iter().enumerate() {
            let colour = COLOURS[place % COLOURS.len()];
            let (width, weight) = if line.own { (4, 700) } else { (2, 400) };
            let points: Vec<String> = line
                .points
                .iter()
                .map(|(rules, time)| format!("{:.1},{:.1}", scales.x(*rules), scales.y(*time)))
                .collect();
            let _ = writeln!(
                svg,
                "<polyline fill=\"none\" stroke=\"{colour}\" stroke-width=\"{width}\" \
                 stroke-linejoin=\"round\" points=\"{}\"/>",
                points.join(" ")
            );
            for point in &points {
                let (x, y) = point.split_once(',').unwrap_or_default();
                let _ = writeln!(
                    svg,
                    "<circle cx=\"{x}\" cy=\"{y}\" r=\"{}\" fill=\"{colour}\"/>",
                    width + 1
                );
            }
            // A short rule leads from the line's end to its label where that had to move.
            let _ = writeln!(
                svg,
                "<line x1=\"{:.1}\" x2=\"{:.1}\" y1=\"{:.1}\" y2=\"{:.1}\" stroke=\"{colour}\" \
                 opacity=\"0.5\"/>\n<text class=\"text\" x=\"{:.1}\" y=\"{:.1}\" \
                 font-weight=\"{weight}\" font-size=\"13\">{}</text>",
                RIGHT + 2.0,
                RIGHT + 16.0,
                ends[place],
                labels[place],
                RIGHT + 20.0,
                labels[place] + 4.5,
                line.label
            );
        }
    }
}

/// From rules and nanoseconds to places.
struct Scales {
    fewest: f64,
    most: f64,
    /// Powers of ten of the vertical axis.
    lowest: i32,
    highest: i32,
}

impl Scales {
    fn of(lines: &[Line]) -> Self {
        let points = || lines.iter().flat_map(|line| &line.points);
        let least = |values: &mut dyn Iterator<Item = f64>| values.fold(f64::INFINITY, f64::min);
        let most = |values: &mut dyn Iterator<Item = f64>| values.fold(1.0, f64::max);
        Self {
            fewest: least(&mut points().map(|point| point.0)),
            most: most(&mut points().map(|point| point.0)),
            lowest: least(&mut points().map(|point| point.1)).log10().floor() as i32,
            highest: most(&mut points().map(|point| point.1)).log10().ceil() as i32,
        }
    }

    fn x(&self, rules: f64) -> f64 {
        let span = (self.most / self.fewest).ln();
        let part = if span > 0.0 { (rules / self.fewest).ln() / span } else { 0.5 };
        LEFT + 34.0 + part * (RIGHT - LEFT - 34.0)
    }

    fn y(&self, nanoseconds: f64) -> f64 {
        let span = f64::from((self.highest - self.lowest).max(1));
        let part = (nanoseconds.log10() - f64::from(self.lowest)) / span;
        BOTTOM - part * (BOTTOM - TOP)
    }
}

/// Moves places apart so that neighbours have at least `gap`, in their order, and all together
/// stay around where they were.
fn spread(places: &[f64], gap: f64) -> Vec<f64> {
    let mut order: Vec<usize> = (0..places.len()).collect();
    order.sort_by(|left, right| places[*left].total_cmp(&places[*right]));
    // Groups of labels that touch: where the first stands, and how many there are.
    let mut groups: Vec<(f64, Vec<usize>)> = Vec::new();
    for place in order {
        groups.push((places[place], vec![place]));
        while let [.., (above, first), (below, second)] = groups.as_slice() {
            if above + gap * first.len() as f64 <= *below {
                break;
            }
            let members = [first.as_slice(), second].concat();
            let mean = members.iter().map(|member| places[*member]).sum::<f64>();
            let count = members.len() as f64;
            let start = mean / count - gap * (count - 1.0) / 2.0;
            groups.truncate(groups.len() - 2);
            groups.push((start, members));
        }
    }
    let mut spread = places.to_vec();
    for (start, members) in groups {
        for (number, member) in members.into_iter().enumerate() {
            spread[member] = start + gap * number as f64;
        }
    }
    spread
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_that_touch_move_apart_and_others_stay() {
        assert_eq!(spread(&[100.0, 10.0, 104.0], 10.0), [97.0, 10.0, 107.0]);
        let crowd = spread(&[5.0; 4], 10.0);
        assert_eq!(crowd, [-10.0, 0.0, 10.0, 20.0]);
    }

    #[test]
    fn a_line_goes_from_edge_to_edge_and_up_with_time() {
        let points = vec![(20.0, 100.0), (10_000.0, 1_000.0)];
        let plot = Plot { lines: vec![Line { label: "Saker", points, own: true }] };
        let svg = plot.svg();
        let line = format!("points=\"{:.1},{BOTTOM:.1} {RIGHT:.1},{TOP:.1}\"", LEFT + 34.0);
        assert!(svg.contains(&line), "{svg}");
        assert!(svg.contains("10,000 rules") && svg.contains("100 ns"), "{svg}");
    }
}
