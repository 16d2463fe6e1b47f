//! Whom a request speaks for: the effective token of a pipe create.

use core::ffi::c_void;
use core::marker::PhantomData;
use core::ptr::{self, NonNull};

use driver_abi::{SID_MAX, Sid};

use super::bindings as nt;
use super::create::PipeCreate;

/// The token that NPFS would check: that of the client whom the thread impersonates, or else its
/// process's own. It lives at least as long as the create, whose lifetime this carries.
#[derive(Clone, Copy)]
pub struct Token<'a> {
    token: NonNull<c_void>,
    impersonated: bool,
    _create: PhantomData<&'a ()>,
}

/// A token at one moment: it keeps its identifier, and every change gives it another modified one.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TokenVersion {
    /// The token's identifier, never given twice in a boot.
    pub id: u64,
    /// That of its last change.
    pub modified: u64,
}

impl<'a> Token<'a> {
    /// The token behind `create`, if it has one.
    pub fn of(create: &'a PipeCreate<'_>) -> Option<Self> {
        let subject = create.subject()?;
        let client = NonNull::new(subject.ClientToken);
        let token = client.or(NonNull::new(subject.PrimaryToken))?;
        Some(Self { token, impersonated: client.is_some(), _create: PhantomData })
    }

    /// True when it is not the process's own.
    pub const fn is_impersonated(self) -> bool {
        self.impersonated
    }

    /// Which token it is, and since when it is as it is.
    pub fn version(self) -> Option<TokenVersion> {
        let statistics = self.query(nt::_TOKEN_INFORMATION_CLASS::TokenStatistics)?.buffer()?;
        // SAFETY: the kernel fills in this structure for this class.
        let statistics: nt::TOKEN_STATISTICS = unsafe { statistics.read() };
        Some(TokenVersion {
            id: number(statistics.TokenId),
            modified: number(statistics.ModifiedId),
        })
    }

    /// The user.
    pub fn user(self) -> Option<Sid> {
        let answer = self.query(nt::_TOKEN_INFORMATION_CLASS::TokenUser)?.buffer()?;
        // SAFETY: the kernel fills in this structure for this class.
        let user: nt::TOKEN_USER = unsafe { answer.read() };
        let sid: NonNull<u8> = NonNull::new(user.User.Sid)?.cast();
        let mut bytes = [0; SID_MAX];
        // SAFETY: an identifier has at least these eight bytes, and it lies in the kernel's buffer,
        // which is alive.
        let head: [u8; 8] = unsafe { sid.cast::<[u8; 8]>().read_unaligned() };
        let [_, parts, ..] = head;
        let len = usize::from(parts).checked_mul(4)?.checked_add(8)?;
        let room = bytes.get_mut(..len)?;
        // SAFETY: an identifier is as long as its number of parts says, and `room` as long.
        unsafe { ptr::copy_nonoverlapping(sid.as_ptr(), room.as_mut_ptr(), len) };
        Sid::new(&bytes)
    }

    /// The last part of the integrity label.
    pub fn integrity(self) -> Option<u32> {
        self.query(nt::_TOKEN_INFORMATION_CLASS::TokenIntegrityLevel)?.number()
    }

    /// The terminal services session.
    pub fn session(self) -> Option<u32> {
        self.query(nt::_TOKEN_INFORMATION_CLASS::TokenSessionId)?.number()
    }

    /// True when it is elevated.
    pub fn is_elevated(self) -> Option<bool> {
        self.query(nt::_TOKEN_INFORMATION_CLASS::TokenElevation)?.number().map(|number| number != 0)
    }

    fn query(self, class: nt::TOKEN_INFORMATION_CLASS) -> Option<Answer> {
        let mut answer: nt::PVOID = ptr::null_mut();
        // SAFETY: the token is alive, see the type; the pointer is to a local; PASSIVE_LEVEL.
        let status =
            unsafe { nt::SeQueryInformationToken(self.token.as_ptr(), class, &raw mut answer) };
        if status < 0 {
            return None;
        }
        Some(match u32::try_from(answer.addr()) {
            Ok(number) => Answer::Number(number),
            Err(_) => Answer::Buffer(Buffer(NonNull::new(answer)?)),
        })
    }
}

/// What the kernel says of a token. For some classes it writes a number where the address of a
/// buffer would be, and its documentation does not say for all of them which. No address of the
/// kernel fits into 32 bits, so the two are told apart by that.
enum Answer {
    Number(u32),
    Buffer(Buffer),
}

impl Answer {
    fn buffer(self) -> Option<Buffer> {
        match self {
            Self::Buffer(buffer) => Some(buffer),
            Self::Number(_) => None,
        }
    }

    fn number(self) -> Option<u32> {
        Some(match self {
            Self::Number(number) => number,
            // SAFETY: a buffer for a class that is a number holds that number.
            Self::Buffer(buffer) => unsafe { buffer.read() },
        })
    }
}

/// A buffer that the kernel allocated for us; freed when dropped.
struct Buffer(NonNull<c_void>);

impl Buffer {
    /// # Safety
    /// The kernel put a `T`, for which every bit pattern is valid, at the buffer's beginning.
    const unsafe fn read<T: Copy>(&self) -> T {
        // SAFETY: the caller's promise; the buffer is ours until it is dropped.
        unsafe { self.0.cast::<T>().read_unaligned() }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        // SAFETY: the documentation of SeQueryInformationToken has the caller free the buffer with
        // ExFreePool; it is not used again; PASSIVE_LEVEL.
        unsafe { nt::ExFreePool(self.0.as_ptr()) };
    }
}

/// A locally unique identifier as one number.
fn number(luid: nt::LUID) -> u64 {
    let high = u32::from_ne_bytes(luid.HighPart.to_ne_bytes());
    u64::from(high).wrapping_shl(32) | u64::from(luid.LowPart)
}
