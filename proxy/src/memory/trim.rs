//! Gives back memory that starting and compiling needed, and serving does not. One of the two places with unsafe code: it tells the allocator and the
//! kernel, neither of which can be told otherwise.

use std::path::Path;

use rustix::mm::Advice;

/// What the allocator has kept for this thread, though nothing is in it.
#[allow(unsafe_code)]
pub fn thread() {
    // SAFETY: has no requirements; it is foreign code, no more.
    unsafe { libmimalloc_sys::mi_collect(true) }
}

/// What of the program's own code and constants is in memory. Most of it is the compiler and what runs once; what is needed comes back from
/// the file, page by page.
pub fn program() {
    let (Ok(program), Ok(maps)) =
        (std::fs::read_link("/proc/self/exe"), std::fs::read_to_string("/proc/self/maps"))
    else {
        return;
    };
    maps.lines().filter_map(|line| unchanged(line, &program)).for_each(|(from, to)| drop_pages(from, to));
}

/// The range of addresses of a line, if it is of that file and nobody can have written to it: its code, and its constants, with which it begins.
/// Tables that the loader fills are not writable any more either, but stand further behind.
fn unchanged(line: &str, program: &Path) -> Option<(usize, usize)> {
    let mut fields = line.split_ascii_whitespace();
    let (from, to) = fields.next()?.split_once('-')?;
    let (access, offset, path) = (fields.next()?, number(fields.next()?)?, fields.nth(2)?);
    let is_unchanged = access == "r-xp" || (access == "r--p" && offset == 0);
    (is_unchanged && Path::new(path) == program).then_some((number(from)?, number(to)?))
}

fn number(text: &str) -> Option<usize> {
    usize::from_str_radix(text, 16).ok()
}

#[allow(unsafe_code)]
fn drop_pages(from: usize, to: usize) {
    let start = std::ptr::with_exposed_provenance_mut(from);
    // SAFETY: the range is a private mapping of the program's file that is not writable and never was: neither code nor the constants before it are
    // relocated. The file holds the same bytes as memory, and the kernel reads them again when they are next used.
    let advised = unsafe { rustix::mm::madvise(start, to - from, Advice::LinuxDontNeed) };
    if let Err(error) = advised {
        tracing::debug!(%error, "the program's pages stay in memory");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_nobody_has_written_to_is_given_back() {
        let of_it = |line| unchanged(line, Path::new("/bin/ferrata"));
        assert_eq!(of_it("1000-5000 r--p 00000000 fe:00 42    /bin/ferrata"), Some((0x1000, 0x5000)));
        assert_eq!(of_it("5000-7000 r-xp 00004000 fe:00 42    /bin/ferrata"), Some((0x5000, 0x7000)));
        assert_eq!(of_it("7000-8000 r--p 00006000 fe:00 42    /bin/ferrata"), None);
        assert_eq!(of_it("8000-9000 rw-p 00007000 fe:00 42    /bin/ferrata"), None);
        assert_eq!(of_it("5000-7000 r-xp 00001000 fe:00 43    /lib/libc.so"), None);
        assert_eq!(of_it("5000-7000 r-xp 00000000 00:00 0"), None);
    }

    #[test]
    fn code_goes_out_of_memory_and_comes_back() {
        let resident = || {
            let maps = std::fs::read_to_string("/proc/self/smaps").unwrap();
            let program = std::fs::read_link("/proc/self/exe").unwrap();
            let is_code = |line: &str| line.contains(" r-xp ") && unchanged(line, &program).is_some();
            let size =
                maps.lines().skip_while(|line| !is_code(line)).find_map(|line| line.strip_prefix("Rss:"));
            size.unwrap().split_whitespace().next().unwrap().parse::<u64>().unwrap()
        };
        // Enough of it runs for a difference that other tests' threads do not make up for.
        drop(crate::connector::Engine::new().unwrap());
        let before = resident();
        program();
        assert!(resident() < before);
        drop(crate::connector::Engine::new().unwrap());
    }
}
