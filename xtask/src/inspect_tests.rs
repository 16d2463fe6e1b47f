//! Every rule both ways: a good image passes, and each fault alone is found.

use super::*;

fn good() -> Facts {
    Facts {
        file_size: 100_000,
        machine: pe::IMAGE_FILE_MACHINE_AMD64.0,
        subsystem: pe::IMAGE_SUBSYSTEM_NATIVE.0,
        subsystem_version: 10,
        characteristics: pe::IMAGE_DLLCHARACTERISTICS_FORCE_INTEGRITY.0
            | pe::IMAGE_DLLCHARACTERISTICS_NX_COMPAT.0
            | pe::IMAGE_DLLCHARACTERISTICS_DYNAMIC_BASE.0,
        section_alignment: 0x1000,
        checksum: 7,
        true_checksum: 7,
        has_version: true,
        is_signed: false,
        has_load_config: false,
        has_loader_extras: false,
        sections: vec![
            Section {
                name: ".text".to_owned(),
                flags: pe::IMAGE_SCN_MEM_EXECUTE.0 | pe::IMAGE_SCN_MEM_READ.0,
                virtual_size: 5000,
                is_zero: false,
            },
            Section {
                name: ".profile".to_owned(),
                flags: pe::IMAGE_SCN_MEM_READ.0,
                virtual_size: 64,
                is_zero: false,
            },
            Section {
                name: ".anchor".to_owned(),
                flags: pe::IMAGE_SCN_MEM_READ.0,
                virtual_size: 1024,
                is_zero: true,
            },
        ],
        imports: vec!["ntoskrnl.exe!ZwClose".to_owned(), "fltmgr.sys!FltSendMessage".to_owned()],
        pdb_name: "saker.pdb".to_owned(),
        bad_instructions: Vec::new(),
    }
}

/// Spoils a good image and expects exactly one fault that says `expected`.
fn one_fault(spoil: impl FnOnce(&mut Facts), expected: &str) {
    let mut facts = good();
    spoil(&mut facts);
    let found = faults(&facts);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains(expected), "{found:?}");
}

#[test]
fn a_good_image_has_no_fault() {
    assert_eq!(faults(&good()), Vec::<String>::new());
}

#[test]
fn a_panic_path_is_found() {
    one_fault(|facts| facts.imports.push("ntoskrnl.exe!KeBugCheckEx".to_owned()), "KeBugCheckEx");
}

#[test]
fn a_foreign_import_is_found() {
    one_fault(|facts| facts.imports.push("hal.dll!HalReturnToFirmware".to_owned()), "hal.dll");
}

#[test]
fn writable_code_is_found() {
    one_fault(|facts| facts.sections[0].flags |= pe::IMAGE_SCN_MEM_WRITE.0, "writable");
}

#[test]
fn each_missing_characteristic_is_found() {
    for (flag, name) in [
        (pe::IMAGE_DLLCHARACTERISTICS_FORCE_INTEGRITY, "FORCE_INTEGRITY"),
        (pe::IMAGE_DLLCHARACTERISTICS_NX_COMPAT, "NX_COMPAT"),
        (pe::IMAGE_DLLCHARACTERISTICS_DYNAMIC_BASE, "DYNAMIC_BASE"),
    ] {
        one_fault(|facts| facts.characteristics &= !flag.0, name);
    }
}

#[test]
fn a_missing_version_is_found() {
    let facts = Facts { has_version: false, ..good() };
    assert_eq!(faults(&facts), ["has no version resource"]);
}

#[test]
fn guard_without_load_configuration_is_found() {
    let guard = pe::IMAGE_DLLCHARACTERISTICS_GUARD_CF.0;
    one_fault(|facts| facts.characteristics |= guard, "GUARD_CF");
    let mut facts = good();
    facts.characteristics |= guard;
    facts.has_load_config = true;
    assert!(faults(&facts).is_empty());
}

#[test]
fn a_missing_or_wrong_checksum_is_found() {
    one_fault(|facts| (facts.checksum, facts.true_checksum) = (0, 0), "checksum");
    one_fault(|facts| facts.checksum = 8, "checksum");
}

#[test]
fn numbers_out_of_bounds_are_found() {
    one_fault(|facts| facts.section_alignment = 0x200, "aligned");
    one_fault(|facts| facts.file_size = 256 * 1024, "limit");
    one_fault(|facts| facts.machine = pe::IMAGE_FILE_MACHINE_ARM64.0, "x86-64");
    one_fault(|facts| facts.subsystem = pe::IMAGE_SUBSYSTEM_WINDOWS_CUI.0, "subsystem");
    one_fault(|facts| facts.has_loader_extras = true, "thread-local");
    one_fault(|facts| facts.pdb_name = "/home/me/saker.pdb".to_owned(), "bare file name");
}

#[test]
fn a_wrong_anchor_is_found() {
    one_fault(|facts| drop(facts.sections.pop()), "no .anchor");
    one_fault(|facts| facts.sections[2].is_zero = false, "not zero");
    one_fault(|facts| facts.sections[2].virtual_size = 512, "512 bytes");
    one_fault(|facts| facts.sections[2].flags |= pe::IMAGE_SCN_MEM_WRITE.0, "read-only");
}

#[test]
fn an_image_that_does_not_say_what_it_can_do_is_found() {
    one_fault(|facts| drop(facts.sections.remove(1)), "no read-only .profile");
    one_fault(|facts| facts.sections[1].is_zero = true, "no read-only .profile");
    one_fault(
        |facts| facts.sections[1].flags |= pe::IMAGE_SCN_MEM_WRITE.0,
        "no read-only .profile",
    );
}

#[test]
fn traps_and_vector_instructions_are_found() {
    // mov eax, 1; ret
    assert!(bad_instructions(&[0xB8, 1, 0, 0, 0, 0xC3], 0x1000).is_empty());
    // nop; ud2
    assert_eq!(bad_instructions(&[0x90, 0x0F, 0x0B], 0x1000), ["Ud2 at 0x1001"]);
    // cpuid
    assert_eq!(bad_instructions(&[0x0F, 0xA2], 0x1000), ["Cpuid at 0x1000"]);
    // vzeroupper
    assert_eq!(bad_instructions(&[0xC5, 0xF8, 0x77], 0x1000), ["Vzeroupper at 0x1000"]);
    one_fault(|facts| facts.bad_instructions.push("Ud2 at 0x1000".to_owned()), "Ud2");
}

#[test]
fn what_is_no_image_is_refused_in_words() {
    assert!(Facts::read(b"").is_err());
    assert!(Facts::read(&[0x4D, 0x5A, 0, 0]).is_err());
    assert!(checksum(&[0; 16]).is_err());
}

#[test]
fn the_checksum_leaves_its_own_field_out() {
    let mut image = vec![0u8; 0x200];
    // Where the NT headers begin; the word counts like any other.
    image[0x3C] = 0x80;
    assert_eq!(checksum(&image), Ok(0x200 + 0x80));
    let field = 0x80 + 24 + 64;
    image[field..field + 4].copy_from_slice(&[0xAA; 4]);
    assert_eq!(checksum(&image), Ok(0x200 + 0x80));
    image[0] = 0x34;
    image[1] = 0x12;
    assert_eq!(checksum(&image), Ok(0x200 + 0x80 + 0x1234));
}
