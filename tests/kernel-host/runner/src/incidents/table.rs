//! Both courses of each scenario, side by side.

use std::fmt::Write as _;

use super::{Course, Played};

/// The table.
pub fn of(played: &[Played]) -> String {
    let mut text = format!(
        "{:<44} {:>6} {:>6} {:>6} {:>8}  {}\n",
        "", "boots", "hands", "pipes", "minutes", "afterwards"
    );
    let _ = writeln!(text, "{:<44} {:>6} {:>6} {:>6} {:>8}", "", "lost", "", "failed", "down");
    for Played { scenario, ours, theirs } in played {
        let _ = writeln!(text, "{scenario}");
        for (name, course) in [("saker.sys", ours), ("as in 2024", theirs)] {
            let _ = writeln!(text, "{}", row(name, course));
        }
    }
    text
}

fn row(name: &str, course: &Course) -> String {
    let hands = if course.hands { "yes" } else { "no" };
    let minutes = course.down.as_secs() / 60;
    let Course { lost, failed, after, .. } = course;
    let row = format!("{name:<42} {lost:>6} {hands:>6} {failed:>6} {minutes:>8}  {after}");
    match &course.blamed {
        Some(blamed) => format!("  {row}; went down in {blamed}"),
        None => format!("  {row}"),
    }
}
