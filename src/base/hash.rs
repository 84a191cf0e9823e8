//! SHA-256 of files and of bytes, as lower-case hex: the same digest that model hubs and `sha256sum` show.

use crate::base::{Ctx, Error, Result};
use sha2::{Digest as _, Sha256};
use std::{fs::File, io::Read as _, path::Path};

pub fn sha256_bytes(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// Digest of a value's JSON, without holding that JSON.
pub fn sha256_json(value: &impl serde::Serialize) -> String {
    let mut hasher = Sha256::new();
    // Plain data always serialises, and a digest takes all bytes.
    let _ = serde_json::to_writer(&mut hasher, value);
    hex(&hasher.finalize())
}

/// Digest of one file, read in 1 MiB pieces.
///
/// # Errors
/// When the file cannot be read, or the work is cancelled.
pub fn sha256_file(path: &Path, ctx: &Ctx<'_>) -> Result<String> {
    sha256_file_while(path, &|| ctx.check())
}

/// Asks `go_on` before every piece.
///
/// # Errors
/// When the file cannot be read; that of `go_on`.
pub fn sha256_file_while(path: &Path, go_on: &dyn Fn() -> Result<()>) -> Result<String> {
    let mut hasher = Sha256::new();
    let mut file = File::open(path).map_err(|e| Error::io(path, e))?;
    let mut buffer = vec![0u8; 1 << 20];
    loop {
        go_on()?;
        let n = file.read(&mut buffer).map_err(|e| Error::io(path, e))?;
        if n == 0 {
            return Ok(hex(&hasher.finalize()));
        }
        hasher.update(&buffer[..n]);
    }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut s, b| {
        let _ = write!(s, "{b:02x}");
        s
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn digest_of_the_empty_string_is_the_published_one() {
        assert_eq!(super::sha256_bytes(b""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    }
}
