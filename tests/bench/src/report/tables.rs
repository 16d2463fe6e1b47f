//! The tables, which the terminal and the document share.

use super::number::{count, ratio, size, time};
use super::table::Table;
use crate::engines::Kind;
use crate::measure::load::Loaded;
use crate::measure::{Measured, Row, Timed};

/// Everything about one kind of events.
pub fn detail(timed: &Timed) -> String {
    let columns = [
        "engine",
        "events",
        "an event",
        "to Vectorscan",
        "p50",
        "p99",
        "slowest",
        "cold",
        "allocations",
    ];
    let mut table = Table::new(&columns);
    for row in &timed.rows {
        table.row(vec![
            row.kind.title.to_owned(),
            count(row.events),
            time(row.mean),
            row.ratio.map_or_else(String::new, ratio),
            time(row.tail.p50),
            time(row.tail.p99),
            time(row.tail.max),
            time(row.cold),
            format!("{:.1}", row.allocations),
        ]);
    }
    table.text()
}

/// Means of all engines over the numbers of rules, with their ratios to the reference.
pub fn means(measured: &[Measured], events: fn(&Measured) -> &Timed) -> String {
    let cell = |row: &Row| {
        let to_reference = row.ratio.map_or_else(String::new, |it| format!(" ({})", ratio(it)));
        time(row.mean) + &to_reference
    };
    over_rules("engine", measured, |kind, measured| {
        let rows = &events(measured).rows;
        rows.iter().find(|row| row.kind.name == kind.name).map(cell)
    })
}

/// The slowest single event of all engines over the numbers of rules.
pub fn slowest(measured: &[Measured], events: fn(&Measured) -> &Timed) -> String {
    over_rules("slowest event", measured, |kind, measured| {
        let rows = &events(measured).rows;
        rows.iter().find(|row| row.kind.name == kind.name).map(|row| time(row.tail.max))
    })
}

/// Memory and time to build of all engines over the numbers of rules.
pub fn memory(measured: &[Measured]) -> String {
    over_rules("memory, and time to build", measured, |kind, measured| {
        let built = measured.built.iter().find(|built| built.kind.name == kind.name)?;
        Some(format!("{}, {}", size(built.memory), time(built.time.as_nanos() as f64)))
    })
}

/// The physical limit, and Saker beside it.
pub fn limit(measured: &[Measured]) -> String {
    let mut table = Table::new(&["rules", "one step", "Saker, a code unit", "to one step"]);
    for measured in measured {
        let timed = &measured.benign;
        for row in timed.rows.iter().filter(|row| row.kind.name == "saker") {
            let unit = row.mean / (timed.pipe_units + timed.image_units);
            table.row(vec![
                count(measured.rules),
                time(timed.step),
                time(unit),
                ratio(unit / timed.step),
            ]);
        }
    }
    table.text()
}

/// The sizes of Saker's files.
pub fn files(measured: &[Measured]) -> String {
    let mut table = Table::new(&["rules", "file", "tables", "tables, a rule"]);
    for measured in measured {
        if let Some(sizes) = measured.file {
            table.row(vec![
                count(measured.rules),
                size(sizes.file),
                size(sizes.tables),
                format!("{} B", count(sizes.tables / measured.rules.max(1))),
            ]);
        }
    }
    table.text()
}

/// Loading beside hashing.
pub fn loaded(loaded: &[Loaded]) -> String {
    let mut table = Table::new(&["rules", "file", "load", "SHA-512 alone", "load to SHA-512"]);
    for loaded in loaded {
        table.row(vec![
            count(loaded.rules),
            size(loaded.bytes),
            time(loaded.load * 1e6),
            time(loaded.hash * 1e6),
            ratio(loaded.ratio),
        ]);
    }
    table.text()
}

/// A table with an engine a row and a number of rules a column.
fn over_rules(
    title: &str,
    measured: &[Measured],
    cell: impl Fn(&Kind, &Measured) -> Option<String>,
) -> String {
    let columns: Vec<String> =
        measured.iter().map(|measured| format!("{} rules", count(measured.rules))).collect();
    let mut names = vec![title];
    names.extend(columns.iter().map(String::as_str));
    let mut table = Table::new(&names);
    let engines = measured.first().map_or(&[][..], |measured| &measured.built);
    for kind in engines.iter().map(|built| built.kind) {
        let cells = measured.iter().map(|measured| cell(kind, measured).unwrap_or_default());
        table.row([kind.title.to_owned()].into_iter().chain(cells).collect());
    }
    table.text()
}
