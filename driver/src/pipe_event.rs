//! What is known about one pipe create.

use channel_format::engine::{Event, Value};
use channel_format::limits::MAX_TEXT_UNITS;
use channel_format::schema::{Field, Operation};
use driver_core::drives::DriveTable;
use driver_core::exempt;

use crate::ffi::flt::{PipeCreate, PipeOperation};
use crate::ffi::pool::{PoolSlice, Tag};
use crate::ffi::ps::{ImagePath, Requestor};
use crate::ffi::utf16;
use crate::sensor::Sensor;

const BACKSLASH: u16 = 0x5C;

/// The pipe's name with its leading backslash.
enum Name<'a> {
    /// As the caller gave it.
    Given(&'a [u16]),
    /// The caller gave it without the backslash.
    Rooted(PoolSlice<u16>),
    /// It is no string, or there was no memory for the backslash.
    Unknown,
}

/// The requesting process's image.
enum Image {
    /// Its path, spelled from this unit on.
    Path(ImagePath, usize),
    /// The system process has no image; logs call it `System`.
    System,
    /// It could not be found, or its path not be spelled yet.
    Unknown,
}

/// One pipe create, as rules see it.
pub struct PipeEvent<'a> {
    operation: Operation,
    name: Name<'a>,
    requestor: Option<Requestor<'a>>,
    image: Image,
}

impl<'a> PipeEvent<'a> {
    /// What `create` is about. `None` when it opens the pipe file system or its root directory,
    /// which is no pipe: listing pipes and waiting for one do that all the time.
    pub fn of(create: &'a PipeCreate<'_>) -> Option<Self> {
        let operation = match create.operation() {
            PipeOperation::Created => Operation::Created,
            PipeOperation::Connected => Operation::Connected,
        };
        let name = match create.name() {
            None => Name::Unknown,
            Some([] | [BACKSLASH])
                if operation == Operation::Connected && !create.is_relative() =>
            {
                return None;
            }
            Some(name @ ([] | [BACKSLASH, ..])) => Name::Given(name),
            // Longer than any text that rules are evaluated on: not worth the memory.
            Some(name) if !u32::try_from(name.len()).is_ok_and(|len| len < MAX_TEXT_UNITS) => {
                Name::Unknown
            }
            Some(name) => PoolSlice::joined(&[&[BACKSLASH], name], Tag::Text)
                .map_or(Name::Unknown, Name::Rooted),
        };
        let requestor = Requestor::of(create);
        Some(Self { operation, name, requestor, image: Image::Unknown })
    }

    /// Finds the requestor's image, spelled with a drive letter where its volume has one. Early in
    /// a boot, before the letters are known, it stays unknown.
    pub fn find_image(&mut self, sensor: &Sensor) {
        let Some(requestor) = self.requestor else {
            return;
        };
        if requestor.is_system() {
            self.image = Image::System;
        } else if let Some(mut path) = requestor.image() {
            let spelled = sensor.drives.read(|drives| spell(drives, path.units_mut()));
            if let Some(start) = spelled {
                self.image = Image::Path(path, start);
            }
        }
    }

    /// What was asked.
    pub const fn operation(&self) -> Operation {
        self.operation
    }

    /// The requesting process's number, 0 when there is none.
    pub fn process_id(&self) -> u64 {
        self.requestor.map_or(0, Requestor::id)
    }

    /// Who asks, as far as it matters to exemptions.
    pub fn requestor_kind(&self) -> exempt::Requestor {
        match self.requestor {
            None => exempt::Requestor::Unknown,
            Some(requestor) if requestor.is_system() => exempt::Requestor::Kernel,
            Some(requestor) if requestor.is_protected() => exempt::Requestor::Protected,
            Some(_) => exempt::Requestor::Plain,
        }
    }

    /// True when somebody on another machine asks.
    pub const fn is_remote(&self) -> bool {
        false
    }

    /// Stands for the requestor's image, equal for equal images: a digest of its path, or what
    /// stands for the process alone where that cannot be found.
    pub fn image_key(&self) -> u64 {
        let digest = |units: &[u16]| {
            units.iter().fold(0xCBF2_9CE4_8422_2325, |digest: u64, unit| {
                (digest ^ u64::from(*unit)).wrapping_mul(0x0100_0000_01B3)
            })
        };
        match (self.image(), self.requestor) {
            (Some(image), _) => digest(image),
            (None, Some(requestor)) => match requestor.image() {
                Some(path) => digest(path.units()),
                None => requestor.id(),
            },
            (None, None) => 0,
        }
    }

    /// The pipe's name.
    pub fn name(&self) -> Option<&[u16]> {
        match &self.name {
            Name::Given(name) => Some(name),
            Name::Rooted(name) => Some(name),
            Name::Unknown => None,
        }
    }

    /// The image path, once [`Self::find_image`] has found it.
    pub fn image(&self) -> Option<&[u16]> {
        const SYSTEM: &[u16] = &utf16::<6>("System");
        match &self.image {
            Image::Path(path, start) => path.units().get(*start..),
            Image::System => Some(SYSTEM),
            Image::Unknown => None,
        }
    }

    /// What rules may ask of it, as far as that is known.
    pub fn inputs(&self) -> Supplied<'_> {
        Supplied {
            operation: self.operation,
            name: self.name(),
            image: self.image(),
            process: self.requestor.map(Requestor::id),
        }
    }
}

/// The fields that this sensor supplies, of one event. It takes a tenth of the stack that an array of
/// every field would.
pub struct Supplied<'e> {
    operation: Operation,
    name: Option<&'e [u16]>,
    image: Option<&'e [u16]>,
    process: Option<u64>,
}

impl<'e> Event for Supplied<'e> {
    type Text = &'e [u16];

    #[inline]
    fn value(&self, field: Field) -> Value<'_, &'e [u16]> {
        let text = |text: Option<&'e [u16]>| text.map_or(Value::Unknown, Value::Text);
        match field {
            Field::Operation => Value::Number(self.operation.number()),
            Field::PipeName => text(self.name),
            Field::ImagePath => text(self.image),
            Field::ImageName => text(self.image.map(last_component)),
            Field::ProcessId => self.process.map_or(Value::Unknown, Value::Number),
            _ => Value::Unknown,
        }
    }
}

/// Spells `path` in place and says where it now begins.
fn spell(drives: &DriveTable, path: &mut [u16]) -> usize {
    let full = path.len();
    full.saturating_sub(drives.spell(path).len())
}

fn last_component(path: &[u16]) -> &[u16] {
    path.rsplit(|unit| *unit == BACKSLASH).next().unwrap_or(path)
}
