//! Files that are either the old one or the new one, never half of either.

use crate::base::{Error, Result};
use std::{
    io::{BufWriter, Write},
    path::Path,
};

/// Writes to a temporary file beside `path`, syncs it, renames it over `path`. Creates missing folders.
///
/// # Errors
/// When the folder cannot be made or written to.
pub fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    write_with(path, |out| out.write_all(bytes).map_err(|e| Error::io(path, e)))
}

/// The same for what is too large to be held at once: `fill` writes it piece by piece. When it fails, `path` stays as it was.
///
/// # Errors
/// Of `fill`; when the folder cannot be made or written to.
pub fn write_with(path: &Path, fill: impl FnOnce(&mut (dyn Write + Send)) -> Result<()>) -> Result<()> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    std::fs::create_dir_all(folder).map_err(|e| Error::io(folder, e))?;
    let mut builder = tempfile::Builder::new();
    // A temporary file is private by default; a result has the permissions any other new file gets.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let mut file = builder.tempfile_in(folder).map_err(|e| Error::io(folder, e))?;
    {
        let mut buffer = BufWriter::new(file.as_file_mut());
        fill(&mut buffer)?;
        buffer.flush().map_err(|e| Error::io(path, e))?;
    }
    file.as_file().sync_all().map_err(|e| Error::io(path, e))?;
    file.persist(path).map_err(|e| Error::io(path, e.error))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_could_not_be_finished_leaves_the_old_one() {
        let dir = tempfile::tempdir().expect("folder");
        let path = dir.path().join("deep/x.txt");
        write(&path, b"old").expect("written");
        let failed = write_with(&path, |out| {
            out.write_all(b"half of the new").map_err(|e| Error::io(&path, e))?;
            Err(Error::Cancelled)
        });
        assert!(failed.is_err_and(|e| e.is_cancelled()));
        assert_eq!(std::fs::read(&path).expect("read"), b"old");
        assert_eq!(std::fs::read_dir(dir.path().join("deep")).expect("folder").count(), 1, "nothing half-written lies about");
    }
}
