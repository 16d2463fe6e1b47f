//! Data exports: variables of ntoskrnl that a driver reads through its import table.

use crate::guest::{self, GuestBlock};

const NAMES: [&str; 12] = [
    "PsThreadType",
    "PsProcessType",
    "IoFileObjectType",
    "ExEventObjectType",
    "SeTokenObjectType",
    "PsInitialSystemProcess",
    "InitSafeBootMode",
    "NtBuildNumber",
    "MmUserProbeAddress",
    "MmHighestUserAddress",
    "MmSystemRangeStart",
    "KeNumberProcessors",
];
/// Windows 11 24H2, free build.
const BUILD: u64 = 0xF000_0000 | 26100;

/// The variables of one kernel, and the object types that some of them point at.
#[derive(Debug)]
pub(crate) struct DataExports {
    variables: GuestBlock,
    types: GuestBlock,
}

impl DataExports {
    pub(crate) fn new(system_process: u64, safe_mode: u32) -> DataExports {
        let exports = DataExports {
            variables: GuestBlock::new(NAMES.len() * 8),
            types: GuestBlock::new(5 * 64),
        };
        let types = (0..5).map(|index| exports.types.address() + index * 64);
        let numbers = [
            system_process,
            u64::from(safe_mode),
            BUILD,
            0x7FFF_FFFF_0000,
            0x7FFF_FFFE_FFFF,
            0xFFFF_8000_0000_0000,
            2,
        ];
        for (index, value) in types.chain(numbers).enumerate() {
            guest::write(exports.variables.address() + 8 * index as u64, value)
                .expect("own memory");
        }
        exports
    }

    /// The address of a variable.
    pub(crate) fn address(&self, name: &str) -> Option<u64> {
        let index = NAMES.iter().position(|known| *known == name)?;
        Some(self.variables.address() + 8 * index as u64)
    }

    /// The object type that a variable points at.
    pub(crate) fn object_type(&self, name: &str) -> u64 {
        self.address(name).and_then(|address| guest::read(address).ok()).unwrap_or(0)
    }
}
