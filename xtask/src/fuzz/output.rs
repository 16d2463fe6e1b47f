//! What libFuzzer prints, read.

/// How a run went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ran {
    /// Inputs that were tried.
    pub executions: u64,
    /// Inputs that were kept, since they led to something new.
    pub kept: u64,
    /// What there was to see after the inputs it began with: edges of the host's code, and features.
    pub begun: Seen,
    /// And in the end.
    pub ended: Seen,
}

/// How much was seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Edges of the host's own code.
    pub edges: u64,
    /// Edges with how often each was taken, and blocks of the driver.
    pub features: u64,
}

impl Ran {
    /// Reads what was printed, with the statistics at its end. `None` if that is missing.
    pub fn read(printed: &str) -> Option<Self> {
        let statistic = |name: &str| {
            let lines = printed.lines();
            lines.filter_map(|line| line.strip_prefix(name)?.trim().parse().ok()).next_back()
        };
        let mut states = printed.lines().filter_map(|line| Some((line, Seen::read(line)?)));
        let begun = states.find(|(line, _)| line.contains("INITED")).map(|(_, seen)| seen);
        Some(Self {
            executions: statistic("stat::number_of_executed_units:")?,
            kept: statistic("stat::new_units_added:")?,
            begun: begun.unwrap_or_default(),
            ended: states.next_back().map(|(_, seen)| seen).or(begun).unwrap_or_default(),
        })
    }
}

impl Seen {
    /// `#123 NEW    cov: 45 ft: 67 corp: …`
    fn read(line: &str) -> Option<Self> {
        let number = |name: &str| {
            let (_, behind) = line.split_once(name)?;
            behind.split_whitespace().next()?.parse().ok()
        };
        line.starts_with('#').then_some(())?;
        // Where no code is instrumented there are no edges.
        Some(Self { edges: number(" cov: ").unwrap_or(0), features: number(" ft: ")? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRINTED: &str = "\
INFO: Seed: 1\n\
#3\tINITED cov: 12 ft: 13 corp: 2/9b exec/s: 0 rss: 30Mb\n\
#64\tNEW    cov: 15 ft: 20 corp: 3/12b lim: 4 exec/s: 0 rss: 30Mb L: 3/3 MS: 1 EraseBytes-\n\
#9000\tDONE   cov: 15 ft: 21 corp: 3/12b lim: 4096 exec/s: 900 rss: 40Mb\n\
Done 9000 runs in 10 second(s)\n\
stat::number_of_executed_units: 9000\n\
stat::average_exec_per_sec:     900\n\
stat::new_units_added:          1\n";

    #[test]
    fn reads_what_was_seen_and_done() {
        let begun = Seen { edges: 12, features: 13 };
        let ended = Seen { edges: 15, features: 21 };
        assert_eq!(Ran::read(PRINTED), Some(Ran { executions: 9000, kept: 1, begun, ended }));
    }

    #[test]
    fn what_broke_off_is_not_taken_for_a_run() {
        let (broken, _) = PRINTED.split_once("stat::").expect("statistics");
        assert_eq!(Ran::read(broken), None);
    }
}
