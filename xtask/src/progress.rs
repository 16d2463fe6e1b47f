//! What the user sees while a task runs: a line a step with its time; on a terminal, a spinner with
//! the latest line of the running program; elsewhere a sign of life every half minute.

use std::io::{self, IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// How often a step without a terminal says that it still runs.
const SIGN_OF_LIFE: Duration = Duration::from_secs(30);

/// One step under way.
pub struct Step {
    title: String,
    begun: Instant,
    last_sign: Instant,
    spinner: Option<ProgressBar>,
}

impl Step {
    /// Begins a step.
    pub fn begin(title: &str) -> Self {
        let spinner = io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new_spinner();
            if let Ok(style) =
                ProgressStyle::with_template("{spinner} {prefix} {elapsed} {wide_msg}")
            {
                bar.set_style(style);
            }
            bar.set_prefix(title.to_owned());
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        if spinner.is_none() {
            note(&format!("  ..  {title}"));
        }
        let now = Instant::now();
        Self { title: title.to_owned(), begun: now, last_sign: now, spinner }
    }

    /// Shows the latest line of the running program.
    pub fn tell(&mut self, line: &str) {
        if let Some(bar) = &self.spinner {
            bar.set_message(line.trim().to_owned());
        } else if self.last_sign.elapsed() >= SIGN_OF_LIFE {
            self.last_sign = Instant::now();
            note(&format!("      {} {}", clock(self.begun.elapsed()), line.trim()));
        }
    }

    /// Ends the step well; returns the time it took.
    pub fn done(self) -> Duration {
        self.end("ok")
    }

    /// Ends the step badly.
    pub fn failed(self) -> Duration {
        self.end("!!")
    }

    fn end(self, mark: &str) -> Duration {
        let took = self.begun.elapsed();
        if let Some(bar) = &self.spinner {
            bar.finish_and_clear();
        }
        note(&format!("  {mark}  {} ({})", self.title, clock(took)));
        took
    }
}

/// Prints a line about the task itself, apart from what programs print to the standard output.
pub fn note(line: &str) {
    // Nothing can be done when the terminal is gone.
    let _ = writeln!(io::stderr(), "{line}");
}

/// A duration as people read it: `0.4s`, `12.0s`, `2m05s`.
pub fn clock(duration: Duration) -> String {
    let seconds = duration.as_secs();
    if seconds < 60 {
        format!("{:.1}s", duration.as_secs_f64())
    } else {
        format!("{}m{:02}s", seconds / 60, seconds % 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_short_to_read() {
        assert_eq!(clock(Duration::from_millis(420)), "0.4s");
        assert_eq!(clock(Duration::from_secs(125)), "2m05s");
    }
}
