//! What content can do to a machine, replayed on `saker.sys` and beside it on a driver that has the
//! shape of the sensor of July 2024.
//!
//! Each scenario begins on a machine whose content has been good for long. Then something comes
//! into the content folder, and the machine goes on: a pipe is created again and again, and a
//! machine that goes down boots again, as often as it takes. Whoever does not come up after
//! [`PATIENCE`] boots needs hands, which delete what came, as people did then. The first pipes are
//! created seconds after a boot, long before the driver writes anything.

mod machines;
mod scenarios;
mod table;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use kernel_host::Machine;

use crate::error::Error;
use machines::{Down, Host, Running};
use scenarios::{Content, Crash, Scenario};

/// How often a machine boots before somebody looks after it. Microsoft's advice then: up to 15.
const PATIENCE: u32 = 15;
/// The goal: boots that content may cost at most.
const MOST_LOST: u32 = 2;
/// How long a machine must stay up to count as well, and how often pipes are created meanwhile. Longer
/// than the hour after which content that was in force when the machine went down is tried again.
const WELL: Duration = Duration::from_secs(90 * 60);
const PULSE: Duration = Duration::from_secs(3 * 60);
/// The same while nothing happens yet.
const LONG: Duration = Duration::from_secs(25 * 60 * 60);
const LONG_PULSE: Duration = Duration::from_secs(30 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);
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
    if scenario.cuts {
        return play_cuts(scenario, content, &host);
    }
    let machine = Machine::new();
    let mut course = Course::default();
    let mut running = settle_in(scenario, content, &host, &machine).map_err(Error::from)?;
    let arrivals = (scenario.arrives)(content)?;
    let mut life = Life { scenario, course: &mut course, since: Duration::ZERO };
    let mut up = running.deliver(&arrivals).map(|()| running);
    loop {
        // Up for a while, restarted as people do, and up for a while again.
        let lived = up.and_then(|mut running| {
            life.goes_on(&mut running)?;
            running.shut_down()?;
            let mut running = host.boot(&machine)?;
            life.begins(&mut running)?;
            life.goes_on(&mut running)?;
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
        let course = &mut *life.course;
        course.blamed.get_or_insert_with(|| machines::blamed(&bug));
        course.lost += 1;
        course.down += BOOT;
        if course.lost == PATIENCE {
            course.hands = true;
            for (name, _) in arrivals.iter().chain(&content.second()) {
                machines::delete(&machine, name);
            }
        }
        if course.lost > PATIENCE {
            course.after = "nothing: it does not come up".to_owned();
            return Ok(course.clone());
        }
        up = host.boot(&machine).and_then(|mut running| {
            life.begins(&mut running)?;
            Ok(running)
        });
    }
}

/// A machine whose content has been good for long.
fn settle_in(
    scenario: &Scenario,
    content: &Content,
    host: &Host<'_>,
    machine: &Machine,
) -> Result<Running, Down> {
    let mut running = host.boot(machine)?;
    running.advance(MINUTE);
    running.deliver(&content.good()?)?;
    running.mature()?;
    if scenario.second {
        running.deliver(&content.second())?;
        running.mature()?;
    }
    Ok(running)
}

/// The power goes at one write after the other, on a new machine each time. What is told in the end
/// is the last; the worst of all counts.
fn play_cuts(scenario: &Scenario, content: &Content, host: &Host<'_>) -> Result<Course, Error> {
    let mut worst = Course::default();
    for cut in 0.. {
        let machine = Machine::new();
        let mut running = settle_in(scenario, content, host, &machine).map_err(Error::from)?;
        let before = machine.disk().changes();
        machine.disk().cut_power_after(cut);
        let arrivals = (scenario.arrives)(content)?;
        let _ = running.deliver(&arrivals).and_then(|()| running.mature());
        let written = machine.disk().changes() - before;
        running.power_off();
        machine.disk().keep_power();
        let mut life = Life { scenario, course: &mut worst, since: Duration::ZERO };
        let mut running = host.boot(&machine).map_err(Error::from)?;
        life.begins(&mut running).map_err(Error::from)?;
        life.goes_on(&mut running).map_err(Error::from)?;
        worst.after = running.describe()?;
        running.shut_down().map_err(Error::from)?;
        if worst.after.ends_with("; nothing") {
            return Err(Error::Disarmed { cut, after: worst.after });
        }
        if written < cut {
            break;
        }
    }
    Ok(worst)
}

/// The time after something came.
struct Life<'a> {
    scenario: &'a Scenario,
    course: &'a mut Course,
    /// How long ago it came.
    since: Duration,
}

impl Life<'_> {
    /// The machine boots: the first programs run before its first minute is over.
    fn begins(&mut self, running: &mut Running) -> Result<(), Down> {
        let crashes = match self.scenario.crashes {
            Crash::Never => false,
            Crash::AtOnce | Crash::WhileBooting => true,
            Crash::AfterADay => self.since >= DAY,
        };
        if crashes {
            running.plant()?;
        }
        self.programs(running, Duration::ZERO)?;
        running.advance(MINUTE);
        running.looks()
    }

    /// It goes on for a while; pipes that everybody needs are created all the time.
    fn goes_on(&mut self, running: &mut Running) -> Result<(), Down> {
        let waits_for_a_day = self.scenario.crashes == Crash::AfterADay && self.since < DAY;
        let (well, pulse) = if waits_for_a_day { (LONG, LONG_PULSE) } else { (WELL, PULSE) };
        let mut up = Duration::ZERO;
        while up < well {
            let crashes = match self.scenario.crashes {
                Crash::Never | Crash::WhileBooting => false,
                Crash::AtOnce => true,
                Crash::AfterADay => self.since >= DAY,
            };
            if crashes {
                running.plant()?;
            }
            self.programs(running, up)?;
            running.advance(pulse);
            up += pulse;
            self.since += pulse;
            if up == HOUR {
                running.looks()?;
            }
        }
        // It is used for long enough to be good, or good again.
        if self.scenario.crashes == Crash::WhileBooting { running.mature() } else { Ok(()) }
    }

    fn programs(&mut self, running: &mut Running, up: Duration) -> Result<(), Down> {
        for name in scenarios::EVERYDAY {
            if let Err(down) = running.create(name, &mut self.course.failed) {
                let before = if self.course.lost > 0 { up } else { Duration::ZERO };
                self.course.down += before;
                return Err(down);
            }
        }
        Ok(())
    }
}
