//! What is known about one pipe create.

use channel_format::engine::kept::Kept;
use channel_format::engine::{Event, Value};
use channel_format::ruleset::Ruleset;
use channel_format::schema::{Field, FieldSet, Operation};
use driver_core::exempt;

use crate::ffi::create::{PipeCreate, PipeOperation, PipeParameters};
use crate::ffi::pool::PoolSlice;
use crate::ffi::ps::Requestor;
use crate::ffi::shared::Shared;
use crate::ffi::token::Token;
use crate::identity::Identity;
use crate::pipe_name::PipeName;
use crate::process_table::Process;
use crate::sensor::Sensor;

const BACKSLASH: u16 = 0x5C;

/// The fields that are texts of the process's image.
const OF_IMAGE: FieldSet = FieldSet::EMPTY.with(Field::ImagePath).with(Field::ImageName);
/// The fields that the effective token says.
const OF_TOKEN: FieldSet = FieldSet::EMPTY
    .with(Field::User)
    .with(Field::Integrity)
    .with(Field::Elevation)
    .with(Field::Session);

/// One pipe create, as rules see it.
pub struct PipeEvent<'a> {
    create: &'a PipeCreate<'a>,
    name: PipeName<'a>,
    requestor: Option<Requestor<'a>>,
    process: Option<Shared<Process>>,
    identity: Option<Shared<Identity>>,
}

impl<'a> PipeEvent<'a> {
    /// What `create` is about. `None` when that is no pipe.
    #[inline(never)]
    pub fn of(create: &'a PipeCreate<'a>) -> Option<Self> {
        let name = PipeName::of(create)?;
        let requestor = Requestor::of(create);
        Some(Self { create, name, requestor, process: None, identity: None })
    }

    /// Finds out what rules on these fields ask for and an event does not bring with it.
    pub fn find(&mut self, sensor: &Sensor, used: FieldSet) {
        let Some(requestor) = self.requestor else {
            return;
        };
        if self.process.is_none() && used.without(OF_IMAGE) != used {
            self.process = sensor.processes.process(requestor, &sensor.drives);
        }
        if self.identity.is_none() && used.without(OF_TOKEN) != used {
            self.identity = Token::of(self.create).and_then(|token| sensor.tokens.identity(token));
        }
    }

    /// What these rules found in the texts of the process before, once [`Self::find`] has found it.
    pub fn found(&self, sensor: &Sensor, rules: &Ruleset<PoolSlice<u8>>) -> Option<Kept> {
        let (Some(requestor), Some(process)) = (self.requestor, &self.process) else {
            return None;
        };
        sensor.processes.found(requestor, process, rules, &self.inputs())
    }

    /// What was asked.
    pub const fn operation(&self) -> Operation {
        match self.create.operation() {
            PipeOperation::Created => Operation::Created,
            PipeOperation::Connected => Operation::Connected,
        }
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

    /// True when the request came through the file server: from the network, or from this machine
    /// by its network name.
    pub fn is_remote(&self) -> Option<bool> {
        self.create.is_of_file_server()
    }

    /// True when the thread speaks for somebody else than its process.
    pub fn is_impersonating(&self) -> Option<bool> {
        Token::of(self.create).map(Token::is_impersonated)
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
    #[inline]
    pub fn name(&self) -> Option<&[u16]> {
        self.name.units()
    }

    /// The image path, once [`Self::find`] has found it.
    #[inline]
    pub fn image(&self) -> Option<&[u16]> {
        self.process.as_ref().map(|process| process.image())
    }

    /// What the effective token says, once [`Self::find`] has found it.
    pub fn identity(&self) -> Option<&Identity> {
        self.identity.as_deref()
    }

    /// What rules may ask of it.
    pub const fn inputs(&self) -> Supplied<'_> {
        Supplied(self)
    }
}

/// The fields of an event that this sensor supplies. A value is sought when a rule asks for it: an
/// array of every field would take kilobytes of stack.
pub struct Supplied<'e>(&'e PipeEvent<'e>);

impl<'e> Event for Supplied<'e> {
    type Text = &'e [u16];

    // Always: where the field is known, all but its own arm is gone.
    #[inline(always)]
    fn value(&self, field: Field) -> Value<'_, &'e [u16]> {
        let Self(event) = *self;
        let text = |text: Option<&'e [u16]>| text.map_or(Value::Unknown, Value::Text);
        match field {
            Field::Operation => Value::Number(event.operation().number()),
            Field::PipeName => text(event.name()),
            Field::ImagePath => text(event.image()),
            Field::ImageName => text(event.image().map(last_component)),
            _ => event.value(field),
        }
    }
}

impl PipeEvent<'_> {
    /// The fields that are no texts. Not inlined: few rules ask for them, and what they need is not
    /// to lie on the stack of every event.
    #[inline(never)]
    fn value(&self, field: Field) -> Value<'_, &[u16]> {
        let flag = |flag: bool| u64::from(flag);
        match field {
            Field::User => match self.identity.as_ref().and_then(|known| known.user.as_ref()) {
                Some(user) => Value::Sid(user.bytes()),
                None => Value::Unknown,
            },
            Field::Integrity => number(self.identity().and_then(|known| known.integrity)),
            Field::Session => number(self.identity().and_then(|known| known.session)),
            Field::Elevation => number(self.identity().and_then(|known| known.elevated.map(flag))),
            Field::ProcessId => number(self.requestor.map(Requestor::id)),
            Field::RemoteOrigin => number(self.is_remote().map(flag)),
            Field::Impersonating => number(self.is_impersonating().map(flag)),
            Field::DesiredAccess => number(self.create.desired_access()),
            Field::CreateOptions => number(Some(self.create.options())),
            Field::Disposition => number(Some(self.create.disposition())),
            Field::Direction => self.of_pipe(|pipe| number(pipe.direction())),
            Field::PipeType => self.of_pipe(|pipe| number(Some(pipe.pipe_type()))),
            Field::ReadMode => self.of_pipe(|pipe| number(Some(pipe.read_mode()))),
            Field::RejectRemote => self.of_pipe(|pipe| number(Some(flag(pipe.rejects_remote())))),
            Field::MaxInstances => self.of_pipe(|pipe| number(Some(pipe.maximum_instances()))),
            Field::InboundQuota => self.of_pipe(|pipe| number(Some(pipe.inbound_quota()))),
            Field::OutboundQuota => self.of_pipe(|pipe| number(Some(pipe.outbound_quota()))),
            Field::DefaultTimeout => self.of_pipe(|pipe| match pipe.default_timeout() {
                Some(timeout) => Value::Number(timeout),
                None => Value::Absent,
            }),
            Field::Operation
            | Field::PipeName
            | Field::ImagePath
            | Field::ImageName
            | Field::ParentImage => Value::Unknown,
        }
    }

    /// A parameter of a new pipe. A client end truly has none.
    fn of_pipe(
        &self,
        value: impl FnOnce(PipeParameters<'_>) -> Value<'static, &'static [u16]>,
    ) -> Value<'static, &'static [u16]> {
        match (self.create.operation(), self.create.pipe()) {
            (PipeOperation::Connected, _) => Value::Absent,
            (PipeOperation::Created, None) => Value::Unknown,
            (PipeOperation::Created, Some(pipe)) => value(pipe),
        }
    }
}

/// A number that is known, or not.
fn number<T: Into<u64>>(number: Option<T>) -> Value<'static, &'static [u16]> {
    number.map_or(Value::Unknown, |number| Value::Number(number.into()))
}

fn last_component(path: &[u16]) -> &[u16] {
    path.rsplit(|unit| *unit == BACKSLASH).next().unwrap_or(path)
}
