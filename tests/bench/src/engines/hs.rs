//! The five functions of Vectorscan's C interface that are used here, and what makes them safe.
//!
//! The declarations follow `hs_common.h`, `hs_compile.h` and `hs_runtime.h` of Vectorscan 5.4.

use std::ffi::{CStr, CString, c_char, c_int, c_uint, c_ulonglong, c_void};
use std::ptr;

const HS_SUCCESS: c_int = 0;
const HS_MODE_BLOCK: c_uint = 1;
const HS_FLAG_CASELESS: c_uint = 1;
const HS_FLAG_DOTALL: c_uint = 2;
const HS_FLAG_SINGLEMATCH: c_uint = 8;

#[repr(C)]
struct CompileError {
    message: *const c_char,
    expression: c_int,
}

type OnMatch =
    extern "C" fn(c_uint, c_ulonglong, c_ulonglong, c_uint, context: *mut c_void) -> c_int;

#[link(name = "hs")]
unsafe extern "C" {
    fn hs_compile_multi(
        expressions: *const *const c_char,
        flags: *const c_uint,
        ids: *const c_uint,
        elements: c_uint,
        mode: c_uint,
        platform: *const c_void,
        database: *mut *mut c_void,
        error: *mut *mut CompileError,
    ) -> c_int;
    fn hs_free_compile_error(error: *mut CompileError) -> c_int;
    fn hs_free_database(database: *mut c_void) -> c_int;
    fn hs_database_size(database: *const c_void, size: *mut usize) -> c_int;
    fn hs_alloc_scratch(database: *const c_void, scratch: *mut *mut c_void) -> c_int;
    fn hs_scratch_size(scratch: *const c_void, size: *mut usize) -> c_int;
    fn hs_free_scratch(scratch: *mut c_void) -> c_int;
    fn hs_scan(
        database: *const c_void,
        data: *const c_char,
        length: c_uint,
        flags: c_uint,
        scratch: *mut c_void,
        on_event: OnMatch,
        context: *mut c_void,
    ) -> c_int;
    fn hs_version() -> *const c_char;
}

/// Patterns, compiled; each is told once a scan, whatever the case of the text.
pub struct Database(*mut c_void);

impl Database {
    /// Compiles patterns with their numbers.
    pub fn compile(patterns: &[(u32, String)]) -> Result<Self, String> {
        let texts: Result<Vec<CString>, _> =
            patterns.iter().map(|(_, pattern)| CString::new(pattern.as_str())).collect();
        let texts = texts.map_err(|error| error.to_string())?;
        let expressions: Vec<*const c_char> = texts.iter().map(|text| text.as_ptr()).collect();
        let flags = vec![HS_FLAG_CASELESS | HS_FLAG_DOTALL | HS_FLAG_SINGLEMATCH; texts.len()];
        let ids: Vec<c_uint> = patterns.iter().map(|(id, _)| *id).collect();
        let count = c_uint::try_from(texts.len()).map_err(|error| error.to_string())?;
        let mut database = ptr::null_mut();
        let mut error = ptr::null_mut();
        // SAFETY: the three arrays have `count` elements, their texts end in zero and live until
        // the end of this function; both results are places for one pointer; no platform is
        // allowed and means this machine's.
        let code = unsafe {
            hs_compile_multi(
                expressions.as_ptr(),
                flags.as_ptr(),
                ids.as_ptr(),
                count,
                HS_MODE_BLOCK,
                ptr::null(),
                &raw mut database,
                &raw mut error,
            )
        };
        if code == HS_SUCCESS {
            return Ok(Self(database));
        }
        Err(compile_error(error))
    }

    /// Bytes of the database.
    pub fn size(&self) -> usize {
        let mut size = 0;
        // SAFETY: `self.0` is a database of this library; `size` is a place for one number.
        let code = unsafe { hs_database_size(self.0, &raw mut size) };
        if code == HS_SUCCESS { size } else { 0 }
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // SAFETY: `self.0` came from `hs_compile_multi`, and is not used after this.
        unsafe { hs_free_database(self.0) };
    }
}

/// What a scan needs beside its database.
pub struct Scratch(*mut c_void);

impl Scratch {
    /// Scratch that is large enough for each of the databases.
    pub fn new(databases: &[Database]) -> Result<Self, String> {
        let mut scratch = Self(ptr::null_mut());
        for database in databases {
            // SAFETY: the database is one of this library; the scratch is null or its own, and is
            // made larger if need be.
            let code = unsafe { hs_alloc_scratch(database.0, &raw mut scratch.0) };
            if code != HS_SUCCESS {
                return Err(format!("hs_alloc_scratch failed with {code}"));
            }
        }
        Ok(scratch)
    }

    /// Bytes of the scratch.
    pub fn size(&self) -> usize {
        let mut size = 0;
        // SAFETY: `self.0` is scratch of this library; `size` is a place for one number.
        let code = unsafe { hs_scratch_size(self.0, &raw mut size) };
        if code == HS_SUCCESS { size } else { 0 }
    }

    /// Scans a text, and tells the numbers of the patterns that are found.
    ///
    /// The scratch must have been made for the database; if not, nothing is found and an error
    /// comes back.
    pub fn scan<F: FnMut(u32)>(
        &mut self,
        database: &Database,
        text: &[u8],
        mut on_match: F,
    ) -> Result<(), String> {
        let length = c_uint::try_from(text.len()).map_err(|error| error.to_string())?;
        let context = (&raw mut on_match).cast::<c_void>();
        // SAFETY: database and scratch are this library's, and the scratch is not in use, since it
        // is borrowed mutably; `text` is `length` bytes; `tell::<F>` is given `on_match`, which
        // lives until the scan is over and is used by nobody else meanwhile.
        let code = unsafe {
            hs_scan(database.0, text.as_ptr().cast(), length, 0, self.0, tell::<F>, context)
        };
        if code == HS_SUCCESS { Ok(()) } else { Err(format!("hs_scan failed with {code}")) }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // SAFETY: `self.0` is null, which is allowed, or came from `hs_alloc_scratch`, and is not
        // used after this.
        unsafe { hs_free_scratch(self.0) };
    }
}

/// The library's version, without the date that follows it.
pub fn version() -> String {
    // SAFETY: needs nothing.
    let text = unsafe { hs_version() };
    // SAFETY: the function returns a text of the library that ends in zero and lives for ever.
    let text = unsafe { CStr::from_ptr(text) }.to_string_lossy();
    text.split(' ').next().unwrap_or_default().to_owned()
}

/// What the compiler says; frees it.
fn compile_error(error: *mut CompileError) -> String {
    // SAFETY: the library says that this is null or points to its error until that is freed.
    let Some(fault) = (unsafe { error.as_ref() }) else {
        return "the patterns do not compile".to_owned();
    };
    // SAFETY: the message is a text that ends in zero and lives as long as the error.
    let message = unsafe { CStr::from_ptr(fault.message) }.to_string_lossy().into_owned();
    let text = format!("pattern {}: {message}", fault.expression);
    // SAFETY: the error is the library's own, and is not used after this.
    unsafe { hs_free_compile_error(error) };
    text
}

/// The library's callback: returning zero goes on with the scan.
extern "C" fn tell<F: FnMut(u32)>(
    id: c_uint,
    _from: c_ulonglong,
    _to: c_ulonglong,
    _flags: c_uint,
    context: *mut c_void,
) -> c_int {
    // SAFETY: `scan` passes the address of an `F` that lives and is used by nobody else.
    let on_match = unsafe { &mut *context.cast::<F>() };
    on_match(id);
    0
}
