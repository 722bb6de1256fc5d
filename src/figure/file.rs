//! Files that are either whole or not there.

use super::FigureError;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Writes `bytes` to `path` in one piece: a temporary file in the same folder, flushed to the disk, then renamed over `path`.
///
/// A link is followed; a device or a pipe is written to directly, since it must not be replaced by a file.
///
/// # Errors
/// [`FigureError::Write`] with the path and the cause, [`FigureError::Target`] when `path` is a folder or names no file. Whatever
/// was at `path` before is then still there.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<(), FigureError> {
    let failed = |source| FigureError::Write { path: path.to_owned(), source };
    if path.file_name().is_none() {
        return Err(FigureError::Target { path: path.to_owned(), problem: "that names no file" });
    }
    let target = match fs::metadata(path) {
        Ok(there) if there.is_dir() => {
            return Err(FigureError::Target { path: path.to_owned(), problem: "that is a folder; give the name of a file in it" });
        }
        Ok(there) if there.is_file() => fs::canonicalize(path).map_err(failed)?,
        Ok(_) => return write_through(path, bytes).map_err(failed),
        Err(_) => path.to_owned(),
    };
    replace(&target, bytes).map_err(failed)
}

/// Writes into what `path` already is.
fn write_through(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).open(path)?;
    file.write_all(bytes)?;
    file.flush()
}

/// Writes a new file and puts it in the place of `target`.
fn replace(target: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = match target.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    };
    let mut builder = tempfile::Builder::new();
    builder.prefix(".diffuscope-").suffix(".tmp");
    #[cfg(unix)]
    {
        // As any new file: what the umask leaves of rw-rw-rw-. The default of a temporary file is rw-------.
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(fs::Permissions::from_mode(0o666));
    }
    let mut file = builder.tempfile_in(&folder).map_err(unwrap_path)?;
    file.as_file_mut().write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(target).map_err(|error| error.error)?;
    // The rename itself is on the disk once the folder is; not every file system lets a folder be synced.
    if let Ok(folder) = File::open(folder) {
        folder.sync_all().ok();
    }
    Ok(())
}

/// The plain error under the one that names the temporary file, which nobody asked for.
fn unwrap_path(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::Other => error,
        kind => io::Error::from(kind),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain(error: &dyn std::error::Error) -> String {
        let mut text = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            text += &format!(": {error}");
            cause = error.source();
        }
        text
    }

    #[test]
    fn a_file_is_replaced_in_one_piece_and_nothing_else_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.txt");
        write_atomic(&path, b"one").unwrap();
        write_atomic(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[cfg(unix)]
    #[test]
    fn a_new_file_is_readable_by_others_and_a_link_is_followed() {
        use std::os::unix::fs::{PermissionsExt, symlink};
        let folder = tempfile::tempdir().unwrap();
        let (real, link) = (folder.path().join("real"), folder.path().join("link"));
        let plain = folder.path().join("plain");
        fs::write(&plain, b"").unwrap();
        write_atomic(&real, b"one").unwrap();
        symlink(&real, &link).unwrap();
        write_atomic(&link, b"two").unwrap();
        assert_eq!(fs::read(&real).unwrap(), b"two");
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::metadata(&real).unwrap().permissions().mode(), fs::metadata(&plain).unwrap().permissions().mode());
    }

    #[test]
    fn what_cannot_be_written_says_where_and_why() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, b"x").unwrap();
        let under_a_file = chain(&write_atomic(&file.join("a.png"), b"").unwrap_err());
        assert!(under_a_file.contains("a.png") && under_a_file.contains("not a folder"), "{under_a_file}");
        let nowhere = chain(&write_atomic(&folder.path().join("none/a.png"), b"").unwrap_err());
        assert!(nowhere.contains("none/a.png") && nowhere.contains("does not exist"), "{nowhere}");
        let a_folder = chain(&write_atomic(folder.path(), b"").unwrap_err());
        assert!(a_folder.contains("is a folder"), "{a_folder}");
        assert!(write_atomic(Path::new(""), b"").is_err());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_full_disk_is_named_and_a_device_stays_one() {
        use std::os::unix::fs::FileTypeExt;
        let full = Path::new("/dev/full");
        let message = chain(&write_atomic(full, b"x").unwrap_err());
        assert!(message.contains("/dev/full") && message.contains("No space left"), "{message}");
        assert!(fs::metadata(full).unwrap().file_type().is_char_device());
    }
}
