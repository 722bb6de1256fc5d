//! Compiled kernels on the disk, one file for each driver. What is not whole is not used.

use crate::figure::write_atomic;
use crate::pipeline::{FNV_START, Shelf, fnv1a};
use std::path::{Path, PathBuf};

/// The most that is read.
const MOST_BYTES: u64 = 256 << 20;
/// Of the files' layout; another one is not read.
const VERSION: &[u8] = b"diffuscope kernels 1\n";

/// The folder of compiled kernels.
pub struct Kernels(PathBuf);

impl Kernels {
    /// In a folder for what can be computed again.
    pub fn within(folder: &Path) -> Self {
        Self(folder.join("kernels"))
    }

    fn path(&self, key: &str) -> PathBuf {
        self.0.join(format!("{:016x}.bin", fnv1a(FNV_START, key.as_bytes())))
    }
}

impl Shelf for Kernels {
    fn take(&self, key: &str) -> Option<Vec<u8>> {
        let path = self.path(key);
        if std::fs::metadata(&path).ok()?.len() > MOST_BYTES {
            return None;
        }
        let bytes = std::fs::read(&path).ok()?;
        let (digest, data) = bytes.strip_prefix(VERSION)?.split_first_chunk::<8>()?;
        if fnv1a(FNV_START, data).to_le_bytes() == *digest {
            return Some(data.to_vec());
        }
        log::warn!("{} is damaged; the kernels are compiled anew", path.display());
        None
    }

    fn put(&self, key: &str, bytes: &[u8]) {
        let path = self.path(key);
        let whole = [VERSION, &fnv1a(FNV_START, bytes).to_le_bytes(), bytes].concat();
        let written = std::fs::create_dir_all(&self.0).map_err(|e| e.to_string());
        if let Err(error) = written.and_then(|()| write_atomic(&path, &whole).map_err(|e| e.to_string())) {
            log::warn!("compiled kernels are not kept: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_put_is_taken_whole_or_not_at_all() {
        let folder = tempfile::tempdir().expect("a folder");
        let shelf = Kernels::within(folder.path());
        assert_eq!(shelf.take("a"), None);
        shelf.put("a", b"kernels of a");
        shelf.put("b", b"kernels of b");
        assert_eq!(shelf.take("a").as_deref(), Some(&b"kernels of a"[..]));
        shelf.put("a", b"");
        assert_eq!(shelf.take("a").as_deref(), Some(&b""[..]));
        let path = shelf.path("b");
        let whole = std::fs::read(&path).expect("written");
        for damaged in [&whole[..whole.len() - 1], &whole[..20], b"", &[&whole[..], b"x"].concat()] {
            std::fs::write(&path, damaged).expect("written");
            assert_eq!(shelf.take("b"), None);
        }
        // A file in the folder's place: nothing is kept, and nothing panics.
        let blocked = tempfile::NamedTempFile::new().expect("a file");
        Kernels::within(blocked.path()).put("a", b"x");
    }
}
