//! The bytes of a weight file: mapped from the disk, or part of the program.

use crate::base::{Error, Result};
use std::{fs::File, ops::Deref, path::Path};

pub struct FileBytes(Source);

enum Source {
    Mapped(memmap2::Mmap),
    Embedded(&'static [u8]),
}

impl FileBytes {
    /// # Errors
    /// When the file cannot be opened or mapped, or is empty.
    #[expect(unsafe_code, reason = "a memory map is the only way to read weights without copying them")]
    pub fn map(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(|e| Error::io(path, e))?;
        let meta = file.metadata().map_err(|e| Error::io(path, e))?;
        if meta.is_dir() {
            return Err(Error::format(path, "is a folder, expected a file"));
        }
        if meta.len() == 0 {
            return Err(Error::format(path, "the file is empty; was the download cut short?"));
        }
        // SAFETY: the map is read-only and private to this process, and every offset into it was checked against its length. What remains
        // is that another program shortens or rewrites the file while we read it: then values change or the process is stopped by the
        // system (SIGBUS), as with every program that maps model files. We never write to a file we have mapped: saving goes through a
        // temporary file and a rename, which leaves the mapped one intact.
        let map = unsafe { memmap2::Mmap::map(&file) }.map_err(|e| Error::io(path, e))?;
        Ok(Self(Source::Mapped(map)))
    }
    pub const fn embedded(bytes: &'static [u8]) -> Self {
        Self(Source::Embedded(bytes))
    }
}

impl Deref for FileBytes {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        match &self.0 {
            Source::Mapped(map) => map,
            Source::Embedded(bytes) => bytes,
        }
    }
}
