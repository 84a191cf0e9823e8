//! The bytes of a weight file: mapped from the disk, or part of the program.

use crate::base::{Error, Result};
use std::{
    fs::File,
    ops::{Deref, Range},
    path::Path,
    sync::Arc,
};

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

/// A place in a file.
pub struct FileRange {
    pub file: Arc<FileBytes>,
    pub bytes: Range<usize>,
}

impl FileRange {
    /// Reads from the disk what is not in memory and maps it in, so that whoever uses the values next waits for nothing. A wish: what is not granted is
    /// read when it is used, and what is wrong with the file shows then.
    pub fn read(&self) {
        #[cfg(unix)]
        if let Source::Mapped(map) = &self.file.0 {
            let Range { start, end } = self.bytes;
            // Sets the disk to work on all of it; systems other than Linux leave it at that.
            for piece in (start..end).step_by(PIECE) {
                let _ = map.advise_range(memmap2::Advice::WillNeed, piece, PIECE.min(end - piece));
            }
            #[cfg(target_os = "linux")]
            let _ = map.advise_range(memmap2::Advice::PopulateRead, start, end - start);
        }
    }
}

/// Linux reads no more at one asking than the disk takes at once, which is this much or more.
#[cfg(unix)]
const PIECE: usize = 128 << 10;

impl Deref for FileBytes {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        match &self.0 {
            Source::Mapped(map) => map,
            Source::Embedded(bytes) => bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reading_ahead_what_is_gone_from_a_file_is_no_failure() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("weights");
        std::fs::write(&path, vec![7u8; 1 << 16]).expect("write");
        let file = Arc::new(FileBytes::map(&path).expect("map"));
        File::options().write(true).open(&path).and_then(|f| f.set_len(4096)).expect("cut");
        for bytes in [100..1 << 16, 1 << 20..1 << 21, 5..5] {
            FileRange { file: file.clone(), bytes }.read();
        }
        FileRange { file: Arc::new(FileBytes::embedded(b"part of the program")), bytes: 0..4 }.read();
        assert_eq!(file[..4096], [7; 4096]);
    }
}
