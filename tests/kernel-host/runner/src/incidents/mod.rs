//! What content can do to a machine, replayed on `saker.sys` and beside it on a driver that has the
//! shape of the sensor of July 2024.
//!
//! Each scenario begins on a machine whose content has been good for long. Then something comes
//! into the content folder, and the machine goes on: a pipe is created again and again, and a
//! machine that goes down boots again, as often as it takes. Whoever does not come up after
//! [`PATIENCE`] boots needs hands, which delete what came, as people did then.

mod machines;
mod scenarios;
mod table;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use kernel_host::Machine;

use crate::error::Error;
use machines::{Down, Host, Running};
use scenarios::{Content, Scenario};

/// How often a machine boots before somebody looks after it. Microsoft's advice then: up to 15.
const PATIENCE: u32 = 15;
/// The goal: boots that content may cost at most.
const MOST_LOST: u32 = 2;
/// How long a machine must stay up to count as well, and how often a pipe is created meanwhile.
const WELL: Duration = Duration::from_secs(20 * 60);
const PULSE: Duration = Duration::from_secs(60);
/// What a boot takes.
const BOOT: Duration = Duration::from_secs(60);

/// What to replay.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    /// The driver
    #[arg(long, value_name = "SYS")]
    driver: PathBuf,
    /// The driver in the shape of July 2024
    #[arg(long, value_name = "SYS")]
    beside: PathBuf,
    /// Only scenarios whose name contains one of these
    only: Vec<String>,
}

/// How a machine came through a scenario.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Course {
    /// Boots that ended in a bugcheck.
    pub lost: u32,
    /// Somebody had to come and delete what was there.
    pub hands: bool,
    /// Everyday pipes that could not be created.
    pub failed: u32,
    /// From the first bugcheck until the machine was up for good, in its own time.
    pub down: Duration,
    /// What is in force in the end, and how it is protected.
    pub after: String,
    /// Where it went down the first time.
    pub blamed: Option<String>,
}

/// A scenario that was played on both drivers.
#[derive(Clone, Debug)]
pub struct Played {
    /// Its name.
    pub scenario: &'static str,
    /// How the machine with the driver came through.
    pub ours: Course,
    /// How the one with the driver of 2024 did.
    pub theirs: Course,
}

/// Replays the scenarios and prints the table of both drivers.
///
/// # Errors
/// When the driver lost more boots than it may, needed hands, or failed a pipe; or a replay went
/// wrong.
pub fn run(arguments: &Arguments) -> Result<ExitCode, Error> {
    let played = replay(&arguments.driver, &arguments.beside, |name| {
        arguments.only.is_empty() || arguments.only.iter().any(|part| name.contains(part))
    })?;
    print!("{}", table::of(&played));
    match played.iter().find(|played| !played.ours.is_well()) {
        Some(played) => Err(Error::Dear { scenario: played.scenario }),
        None => Ok(ExitCode::SUCCESS),
    }
}

impl Course {
    /// What the goals ask.
    pub const fn is_well(&self) -> bool {
        self.lost <= MOST_LOST && !self.hands && self.failed == 0
    }
}

/// Plays each scenario that is wanted on `driver` and on `beside`.
///
/// # Errors
/// When a replay itself goes wrong.
pub fn replay(
    driver: &Path,
    beside: &Path,
    wanted: impl Fn(&str) -> bool,
) -> Result<Vec<Played>, Error> {
    let content = Content::new()?;
    let mut played = Vec::new();
    for scenario in scenarios::all().into_iter().filter(|scenario| wanted(scenario.name)) {
        let ours = play(&scenario, &content, Host::saker(driver, content.anchor()))?;
        let theirs = play(&scenario, &content, Host::of_2024(beside))?;
        played.push(Played { scenario: scenario.name, ours, theirs });
    }
    Ok(played)
}

/// Plays a scenario on a new machine.
fn play(scenario: &Scenario, content: &Content, host: Host<'_>) -> Result<Course, Error> {
    let machine = Machine::new();
    let mut course = Course::default();
    let mut running = host.boot(&machine).map_err(Error::from)?;
    running.deliver(&content.good()).map_err(Error::from)?;
    running.mature().map_err(Error::from)?;

    let arrivals = (scenario.arrives)(content)?;
    let mut up = running.deliver(&arrivals).map(|()| running);
    loop {
        // Up for a while, restarted as people do, and up for a while again.
        let lived = up.and_then(|mut running| {
            live(&mut running, scenario, &mut course)?;
            running.shut_down()?;
            let mut running = host.boot(&machine)?;
            live(&mut running, scenario, &mut course)?;
            Ok(running)
        });
        let bug = match lived {
            Ok(mut running) => {
                course.after = running.describe()?;
                running.shut_down().map_err(Error::from)?;
                return Ok(course);
            }
            Err(Down::Bugcheck(bug)) => bug,
            Err(failed) => return Err(failed.into()),
        };
        course.blamed.get_or_insert_with(|| machines::blamed(&bug));
        course.lost += 1;
        course.down += BOOT;
        if course.lost == PATIENCE {
            course.hands = true;
            for (name, _) in &arrivals {
                machines::delete(&machine, name);
            }
        }
        if course.lost > PATIENCE {
            course.after = "nothing: it does not come up".to_owned();
            return Ok(course);
        }
        up = host.boot(&machine);
    }
}

/// Lives for a while; pipes that everybody needs are created all the time.
fn live(running: &mut Running, scenario: &Scenario, course: &mut Course) -> Result<(), Down> {
    running.plant(scenario)?;
    let mut up = Duration::ZERO;
    while up < WELL {
        for name in scenarios::EVERYDAY {
            if let Err(down) = running.create(name, &mut course.failed) {
                course.down += if course.lost > 0 { up } else { Duration::ZERO };
                return Err(down);
            }
        }
        running.advance(PULSE);
        running.plant(scenario)?;
        up += PULSE;
    }
    Ok(())
}
