//! What the driver puts into a crash dump.
//!
//! The callback runs at HIGH_LEVEL with every other processor stopped: it calls nothing, takes no
//! lock, and touches only the two structures it is handed and a static of the image.

use core::cell::UnsafeCell;
use core::ffi::c_void;
use core::marker::PhantomData;
use core::ptr;

use driver_abi::crash::{NOTE_GUID, NOTE_LEN};

use super::bindings as nt;
use super::pool::{PoolBox, Tag};
use super::status::Result;

/// A block of the image that goes into a dump as it stands. What changes of it is atomic, so that it
/// may be written while it is read.
pub trait Block: 'static {
    /// What it is.
    type Note: Sync;
    /// Where it is.
    const NOTE: &'static Self::Note;
}

/// The registered callback, deregistered when dropped: Windows would call it in an image that is
/// gone.
pub struct CrashNote<B> {
    // In nonpaged pool of its own: Windows links the record into its list.
    record: PoolBox<UnsafeCell<nt::KBUGCHECK_REASON_CALLBACK_RECORD>>,
    _block: PhantomData<B>,
}

impl<B: Block> CrashNote<B> {
    /// Registers the callback. Without it a dump says less; nothing else changes.
    ///
    /// # Errors
    /// `NO_RESOURCES`.
    pub fn register() -> Result<Self> {
        const { assert!(size_of::<B::Note>() == NOTE_LEN) };
        // `KeInitializeCallbackRecord` is a macro that sets the state to `BufferEmpty`, which is 0.
        let record = PoolBox::new(
            UnsafeCell::new(nt::KBUGCHECK_REASON_CALLBACK_RECORD::default()),
            Tag::Sensor,
        )?;
        // FALSE means that the record is in use, which a new one is not.
        // SAFETY: the record is initialised, nonpaged, and lives until it is deregistered below; the
        // routine calls nothing; the component is a NUL-terminated constant; any IRQL.
        unsafe {
            nt::KeRegisterBugCheckReasonCallback(
                record.get(),
                Some(hand_out::<B>),
                nt::_KBUGCHECK_CALLBACK_REASON::KbCallbackSecondaryDumpData,
                c"Saker".as_ptr().cast_mut().cast(),
            )
        };
        Ok(Self { record, _block: PhantomData })
    }
}

impl<B> Drop for CrashNote<B> {
    fn drop(&mut self) {
        // SAFETY: the record was registered and lives; any IRQL.
        unsafe { nt::KeDeregisterBugCheckReasonCallback(self.record.get()) };
    }
}

// SAFETY: only the kernel touches the record, under its own lock.
unsafe impl<B> Send for CrashNote<B> {}
// SAFETY: as above.
unsafe impl<B> Sync for CrashNote<B> {}

/// HIGH_LEVEL. Called twice: once for the size, once for the data. Both times it names the block
/// itself, which needs no room of Windows's.
extern "C" fn hand_out<B: Block>(
    reason: nt::KBUGCHECK_CALLBACK_REASON,
    _record: *mut nt::_KBUGCHECK_REASON_CALLBACK_RECORD,
    data: *mut c_void,
    length: u32,
) {
    const LENGTH: u32 = {
        assert!(NOTE_LEN <= 0xFFFF);
        #[allow(
            clippy::as_conversions,
            clippy::cast_possible_truncation,
            reason = "asserted above"
        )]
        {
            NOTE_LEN as u32
        }
    };
    if reason != nt::_KBUGCHECK_CALLBACK_REASON::KbCallbackSecondaryDumpData
        || length < super::u32_size_of::<nt::KBUGCHECK_SECONDARY_DUMP_DATA>()
    {
        return;
    }
    // SAFETY: for this reason the kernel passes this structure, of at least its length as checked,
    // and nobody else runs.
    let Some(data) = (unsafe { data.cast::<nt::KBUGCHECK_SECONDARY_DUMP_DATA>().as_mut() }) else {
        return;
    };
    if data.MaximumAllowed < LENGTH {
        data.OutBufferLength = 0;
        return;
    }
    let (data1, data2, data3, data4) = NOTE_GUID;
    data.Guid = nt::GUID { Data1: data1, Data2: data2, Data3: data3, Data4: data4 };
    data.OutBuffer = ptr::from_ref(B::NOTE).cast_mut().cast();
    data.OutBufferLength = LENGTH;
}
