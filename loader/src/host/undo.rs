//! Steps that are undone, the last first, when a later one fails.

use std::io;

use super::{Host, HostError};

type Back = Box<dyn FnOnce(&mut dyn Host) -> io::Result<()>>;

/// A machine that is being changed.
pub(super) struct Steps<'h> {
    pub host: &'h mut dyn Host,
    done: Vec<(String, Back)>,
}

impl<'h> Steps<'h> {
    pub fn new(host: &'h mut dyn Host) -> Self {
        Self { host, done: Vec::new() }
    }

    /// Takes a step. When it fails, all before it are undone.
    ///
    /// # Errors
    /// [`HostError::Undone`], or [`HostError::HalfDone`] when that failed too.
    pub fn step<T>(
        &mut self,
        name: &str,
        step: impl FnOnce(&mut dyn Host) -> io::Result<T>,
    ) -> Result<T, HostError> {
        step(self.host).map_err(|source| self.undo(name, source))
    }

    /// Says how what was just done is undone.
    pub fn undo_with(
        &mut self,
        name: &str,
        back: impl FnOnce(&mut dyn Host) -> io::Result<()> + 'static,
    ) {
        self.done.push((name.to_owned(), Box::new(back)));
    }

    /// Undoes all that was done.
    pub fn undo(&mut self, step: &str, source: io::Error) -> HostError {
        let step = step.to_owned();
        let mut left = Vec::new();
        while let Some((name, back)) = self.done.pop() {
            if let Err(error) = back(self.host) {
                left.push(format!("{name} ({error})"));
            }
        }
        if left.is_empty() {
            HostError::Undone { step, source }
        } else {
            HostError::HalfDone { step, source, left }
        }
    }
}
