//! A file of lines. Whoever rotates it moves it away; the next lines go to a new one.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::Pending;

/// Arguments stand in it: nobody but Ferrata's user reads a file that Ferrata makes.
const MODE: u32 = 0o600;

pub struct LineFile {
    path: PathBuf,
    file: File,
    is: Identity,
}

/// Tells one file from another, whatever they are called.
#[derive(PartialEq, Eq)]
struct Identity(u64, u64);

impl From<Metadata> for Identity {
    fn from(metadata: Metadata) -> Self {
        Self(metadata.dev(), metadata.ino())
    }
}

impl LineFile {
    pub fn open(path: &Path) -> io::Result<Self> {
        let mut file = OpenOptions::new().append(true).create(true).mode(MODE).open(path)?;
        let metadata = file.metadata()?;
        if metadata.is_file() && ends_torn(path) {
            file.write_all(b"\n")?;
        }
        Ok(Self { path: path.to_owned(), file, is: metadata.into() })
    }

    /// Writes what is left, into a new file if the old one was moved away.
    pub fn write(&mut self, pending: &mut Pending) -> io::Result<()> {
        let there = std::fs::metadata(&self.path).map(Identity::from);
        if there.ok().as_ref() != Some(&self.is) {
            *self = Self::open(&self.path)?;
            pending.rewind();
        }
        pending.write_to(&self.file)
    }
}

/// Whether a process ended in the middle of a line.
fn ends_torn(path: &Path) -> bool {
    let last = || -> io::Result<u8> {
        let (mut file, mut last) = (File::open(path)?, [0]);
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut last)?;
        let [last] = last;
        Ok(last)
    };
    // An empty file has no last byte, and one that may not be read is as it is.
    last().is_ok_and(|last| last != b'\n')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(file: &mut LineFile, text: &str) -> io::Result<()> {
        file.write(&mut Pending::from(text.as_bytes().to_vec()))
    }

    #[test]
    fn a_file_that_was_moved_is_followed_by_a_new_one() {
        let folder = tempfile::tempdir().unwrap();
        let (path, moved) = (folder.path().join("audit"), folder.path().join("audit.1"));
        let mut file = LineFile::open(&path).unwrap();
        write(&mut file, "one\n").unwrap();
        std::fs::rename(&path, &moved).unwrap();
        write(&mut file, "two\n").unwrap();
        std::fs::remove_file(&path).unwrap();
        write(&mut file, "three\n").unwrap();
        assert_eq!(std::fs::read_to_string(&moved).unwrap(), "one\n");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "three\n");
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, MODE);
    }

    #[test]
    fn a_line_that_was_begun_in_the_old_file_is_whole_in_the_new_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit");
        let mut file = LineFile::open(&path).unwrap();
        let mut pending = Pending { text: b"one\ntwo\n".to_vec(), written: 6 };
        std::fs::remove_file(&path).unwrap();
        file.write(&mut pending).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "two\n");
    }

    #[test]
    fn a_torn_line_is_ended_before_the_next_begins() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit");
        std::fs::write(&path, "{\"torn").unwrap();
        write(&mut LineFile::open(&path).unwrap(), "{}\n").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "{\"torn\n{}\n");
    }

    #[test]
    fn a_full_disk_is_an_error_and_loses_nothing() {
        let mut full = LineFile::open(Path::new("/dev/full")).unwrap();
        let mut pending = Pending::from(b"line\n".to_vec());
        assert!(full.write(&mut pending).is_err());
        assert_eq!(pending.rest(), b"line\n");
    }
}
