//! The goals that the measurement is held against, and what stands in the way of those not met.

use super::number::{count, ratio, time};
use super::table::Table;
use crate::measure::load::Loaded;
use crate::measure::{Measured, Row, Timed};

/// One goal: a number that is to be no more than another.
struct Goal {
    what: String,
    most: f64,
    /// What was found, each with what it was found for.
    found: Vec<(String, f64)>,
    show: fn(f64) -> String,
    cause: &'static str,
}

impl Goal {
    fn is_met(&self) -> bool {
        self.found.iter().all(|(_, found)| *found <= self.most)
    }
}

const EVERYDAY: &str = "With few rules Vectorscan has little to look for, while a walk goes over every unit \
     whatever there is to be found, and the processor guesses wrong wherever a text begins as \
     some literal does and goes on otherwise. Tried and not kept: a filter with a bit for the \
     first four units of each key, by which the walk passes over what resembles none. Over \
     such text it is quicker, but everyday names begin as rules' literals do, and each change \
     between the two costs what it spares.";
const HOSTILE: &str = "Each unit waits for the load of the one before, and each literal that is found is work \
     of its own; Vectorscan looks at many units at once. Tried and not kept: the filter \
     above, which made it slower, since such a text resembles literals throughout. Kept: \
     keys, which make the walk's tables smaller.";
const STEP: &str = "Beside its load a unit costs the fold and class of the unit, a comparison of the label, \
     and the wrong guesses named above; this is all of Saker's time, with the rules that are \
     judged.";
const LOAD: &str = "A file is parsed with a proof that its scans are those of its literals, and its \
     examples, two a rule at least, are judged as events are. Both are done once a file, on a \
     worker thread.";
const SIGMA: &str = "Saker's time is for both fields; the fastest Sigma engine has an index over literals \
     too.";

/// The table of goals, and below it the causes.
pub fn text(measured: &[Measured], loaded: &[Loaded]) -> String {
    let goals = goals(measured, loaded);
    let mut table = Table::new(&["goal", "at most", "found", ""]);
    for goal in &goals {
        let found = goal.found.iter().map(|(at, found)| {
            if at.is_empty() {
                (goal.show)(*found)
            } else {
                format!("{at}: {}", (goal.show)(*found))
            }
        });
        let found = found.collect::<Vec<_>>().join(" · ");
        let verdict = if goal.is_met() { "met" } else { "not met" };
        table.row(vec![goal.what.clone(), (goal.show)(goal.most), found, verdict.to_owned()]);
    }
    let mut text = table.text();
    let mut told = Vec::new();
    for goal in goals.iter().filter(|goal| !goal.is_met() && !goal.cause.is_empty()) {
        if !told.contains(&goal.cause) {
            told.push(goal.cause);
            text.push_str(&format!("\n**{}.** {}\n", goal.what, goal.cause));
        }
    }
    text
}

fn goals(measured: &[Measured], loaded: &[Loaded]) -> Vec<Goal> {
    let mut goals = Vec::new();
    let mut add = |what: &str, most, found: Vec<(String, f64)>, show, cause| {
        if !found.is_empty() {
            goals.push(Goal { what: what.to_owned(), most, found, show, cause });
        }
    };
    let over = |of: &dyn Fn(&Measured) -> Option<f64>| -> Vec<(String, f64)> {
        let found = measured.iter().filter_map(|it| Some((count(it.rules), of(it)?)));
        found.collect()
    };
    let to_vectorscan = |timed: &Timed, name| row(timed, name).and_then(|row| row.ratio);
    let kept = over(&|it| to_vectorscan(&it.benign, "saker-kept"));
    add(
        "everyday event, image kept, to Vectorscan",
        0.25,
        kept,
        ratio as fn(f64) -> String,
        EVERYDAY,
    );
    let both = over(&|it| to_vectorscan(&it.benign, "saker"));
    add("everyday event, both fields, to Vectorscan", 0.40, both, ratio, EVERYDAY);
    for (what, name) in [("image kept", "saker-kept"), ("both fields", "saker")] {
        let ends = measured.first().zip(measured.last());
        let growth = ends.and_then(|(first, last)| {
            let least = row(&first.benign, name)?.mean;
            Some((String::new(), row(&last.benign, name)?.mean / least))
        });
        let what = format!("growth from the fewest to the most rules, {what}");
        add(&what, 1.5, growth.into_iter().collect(), ratio, "");
    }
    for (what, name) in [("image kept", "saker-kept"), ("both fields", "saker")] {
        let found = measured.last().and_then(|last| {
            let sigma = ["rsigma", "tau", "sigma-rust"].into_iter();
            let fastest = sigma.filter_map(|name| Some(row(&last.benign, name)?.mean));
            let fastest = fastest.min_by(f64::total_cmp)?;
            Some((count(last.rules), row(&last.benign, name)?.mean / fastest))
        });
        let what = format!("everyday event, {what}, to the fastest Sigma engine");
        add(&what, 1e-3, found.into_iter().collect(), part, SIGMA);
    }
    let hostile = over(&|it| to_vectorscan(&it.hostile, "saker"));
    add("hostile event, both fields, to Vectorscan", 1.0, hostile, ratio, HOSTILE);
    let step = over(&|it| {
        let units = it.benign.pipe_units + it.benign.image_units;
        Some(row(&it.benign, "saker")?.mean / units / it.benign.step)
    });
    add("a code unit, to one dependent step", 1.25, step, ratio, STEP);
    let loads = loaded.iter().map(|it| (format!("{} rules", count(it.rules)), it.ratio)).collect();
    add("load, to SHA-512 alone", 1.5, loads, ratio, LOAD);
    let most = measured.last();
    let tables =
        most.and_then(|it| Some((count(it.rules), it.file?.tables as f64 / it.rules as f64)));
    add("tables, bytes a rule", 400.0, tables.into_iter().collect(), |it| format!("{it:.0}"), "");
    let built = most.and_then(|it| {
        let built = it.built.iter().find(|built| built.kind.name == "saker")?;
        Some((count(it.rules), built.time.as_nanos() as f64))
    });
    add("built from Sigma text, signed, loaded", 1e9, built.into_iter().collect(), time, BUILD);
    goals
}

const BUILD: &str = "Most of it is reading YAML and deriving examples; it is done once, by whoever makes \
     content.";

fn row<'a>(timed: &'a Timed, name: &str) -> Option<&'a Row> {
    timed.rows.iter().find(|row| row.kind.name == name)
}

/// A small ratio as a part.
fn part(ratio: f64) -> String {
    format!("1/{}", count((1.0 / ratio).round() as usize))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_goal_is_met_where_nothing_found_is_more() {
        let goal = |found: &[f64]| Goal {
            what: String::new(),
            most: 1.5,
            found: found.iter().map(|found| (String::new(), *found)).collect(),
            show: ratio,
            cause: "",
        };
        assert!(goal(&[1.5, 0.2]).is_met() && goal(&[]).is_met());
        assert!(!goal(&[0.2, 1.51]).is_met());
    }

    #[test]
    fn small_ratios_read_as_parts() {
        assert_eq!((part(1e-3), part(0.0005)), ("1/1,000".to_owned(), "1/2,000".to_owned()));
    }
}
