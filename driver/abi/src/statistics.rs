//! What has been counted and measured since the driver started, beyond its status.

use crate::wire::{Malformed, Reader, Writer};
use crate::{HEAD_LEN, Interest, Kind, write_head};

/// Clients that may be connected at once: one that watches, one that serves a management system,
/// and two for commands given by hand. Each costs the driver a ring of some 180 KB.
pub const MAX_CLIENTS: usize = 4;

/// Buckets of the latency histogram: bucket `n` counts events that took from `2^n` nanoseconds on,
/// up to twice that; the first also those of no time at all, the last all above two seconds.
pub const LATENCY_BUCKETS: usize = 32;

/// Rules told at most of those that are held back for being noisy.
pub const MAX_SUPPRESSED: usize = 16;

/// Length of a statistics message in bytes.
pub const STATISTICS_LEN: usize = HEAD_LEN
    + 8 * 8
    + LATENCY_BUCKETS * 8
    + MAX_CLIENTS * ClientNote::LEN
    + 8
    + MAX_SUPPRESSED * Suppressed::LEN;

/// One connected client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClientNote {
    /// The process that connected.
    pub process_id: u64,
    /// Messages it took.
    pub sent: u64,
    /// Records that found its ring full.
    pub dropped: u64,
    /// Records that wait for it.
    pub waiting: u32,
    /// How much it wants to hear.
    pub interest: Interest,
}

impl ClientNote {
    const LEN: usize = 8 * 3 + 4 + 4;
}

/// A rule whose records are held back because there were too many of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Suppressed {
    /// Index of the rule in the content in force.
    pub rule: u32,
    /// Events it matched that were not told.
    pub events: u64,
}

impl Suppressed {
    const LEN: usize = 4 + 4 + 8;
}

/// What has been counted and measured.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Time since boot in 100-nanosecond units, not counting sleep.
    pub time: u64,
    /// Events judged since start.
    pub events: u64,
    /// Records queued for clients since start.
    pub told: u64,
    /// Records that found a ring full, or whose client was dropped before it took them.
    pub dropped: u64,
    /// Clients that connected since start.
    pub connections: u64,
    /// Clients that were dropped because they took nothing.
    pub stuck: u64,
    /// Requests taken since start.
    pub requests: u64,
    /// Messages from clients that were refused: malformed, too many, or from another process.
    pub refused_requests: u64,
    /// How long events took.
    pub latency: [u64; LATENCY_BUCKETS],
    /// The connected clients; free places are `None`.
    pub clients: [Option<ClientNote>; MAX_CLIENTS],
    /// Rules held back, the noisiest of them.
    pub suppressed: [Option<Suppressed>; MAX_SUPPRESSED],
    /// How many rules are held back in all.
    pub suppressed_rules: u32,
}

impl Statistics {
    /// Encodes the statistics as a whole message. False when `out` is not [`STATISTICS_LEN`] bytes
    /// long.
    #[must_use]
    pub fn encode(&self, out: &mut [u8]) -> bool {
        let mut writer = Writer::new(out);
        write_head(&mut writer, Kind::Statistics, STATISTICS_LEN);
        for number in [
            self.time,
            self.events,
            self.told,
            self.dropped,
            self.connections,
            self.stuck,
            self.requests,
            self.refused_requests,
        ] {
            writer.u64(number);
        }
        for number in self.latency {
            writer.u64(number);
        }
        for client in &self.clients {
            let note = client.unwrap_or_default();
            writer.u64(note.process_id);
            writer.u64(note.sent);
            writer.u64(note.dropped);
            writer.u32(note.waiting);
            writer.u16(note.interest.number());
            writer.u16(u16::from(client.is_some()));
        }
        writer.u32(self.suppressed_rules);
        writer.u32(0);
        for suppressed in &self.suppressed {
            let note = suppressed.unwrap_or_default();
            writer.u32(note.rule);
            writer.u32(u32::from(suppressed.is_some()));
            writer.u64(note.events);
        }
        writer.finish()
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let mut statistics = Self::default();
        for number in [
            &mut statistics.time,
            &mut statistics.events,
            &mut statistics.told,
            &mut statistics.dropped,
            &mut statistics.connections,
            &mut statistics.stuck,
            &mut statistics.requests,
            &mut statistics.refused_requests,
        ] {
            *number = reader.u64()?;
        }
        for number in &mut statistics.latency {
            *number = reader.u64()?;
        }
        for client in &mut statistics.clients {
            let note = ClientNote {
                process_id: reader.u64()?,
                sent: reader.u64()?,
                dropped: reader.u64()?,
                waiting: reader.u32()?,
                interest: Interest::from_number(reader.u16()?)?,
            };
            *client = present(u32::from(reader.u16()?), note)?;
        }
        statistics.suppressed_rules = reader.u32()?;
        if reader.u32()? != 0 {
            return Err(Malformed::Value);
        }
        for suppressed in &mut statistics.suppressed {
            let rule = reader.u32()?;
            let there = reader.u32()?;
            *suppressed = present(there, Suppressed { rule, events: reader.u64()? })?;
        }
        Ok(statistics)
    }
}

/// What stands in a place that is taken; a free place holds nothing but zeros.
fn present<T: Default + PartialEq>(there: u32, value: T) -> Result<Option<T>, Malformed> {
    match there {
        1 => Ok(Some(value)),
        0 if value == T::default() => Ok(None),
        _ => Err(Malformed::Value),
    }
}
