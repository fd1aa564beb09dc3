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

/// What of the program's own code is in memory. Most of it is the compiler and what runs once; what is needed comes back from the file, page by page.
pub fn program() {
    let (Ok(program), Ok(maps)) =
        (std::fs::read_link("/proc/self/exe"), std::fs::read_to_string("/proc/self/maps"))
    else {
        return;
    };
    maps.lines().filter_map(|line| code_of(line, &program)).for_each(|(from, to)| drop_pages(from, to));
}

/// The range of addresses of a line, if it is code of that file that nobody can have written to.
fn code_of(line: &str, program: &Path) -> Option<(usize, usize)> {
    let mut fields = line.split_ascii_whitespace();
    let (from, to) = fields.next()?.split_once('-')?;
    let is_code = fields.next()? == "r-xp" && Path::new(fields.nth(3)?) == program;
    let address = |text| usize::from_str_radix(text, 16).ok();
    is_code.then_some((address(from)?, address(to)?))
}

#[allow(unsafe_code)]
fn drop_pages(from: usize, to: usize) {
    let start = std::ptr::with_exposed_provenance_mut(from);
    // SAFETY: the range is a private mapping of the program's file that is executable and not writable. Code is relocated nowhere, so that the file
    // holds the same bytes as memory, and the kernel reads them again when they are next run.
    let advised = unsafe { rustix::mm::madvise(start, to - from, Advice::LinuxDontNeed) };
    if let Err(error) = advised {
        tracing::debug!(%error, "the program's pages stay in memory");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_code_of_the_program_is_given_back() {
        let program = Path::new("/bin/ferrata");
        let code = |line| code_of(line, program);
        assert_eq!(code("5000-7000 r-xp 00001000 fe:00 42    /bin/ferrata"), Some((0x5000, 0x7000)));
        assert_eq!(code("1000-5000 r--p 00000000 fe:00 42    /bin/ferrata"), None);
        assert_eq!(code("7000-8000 rw-p 00003000 fe:00 42    /bin/ferrata"), None);
        assert_eq!(code("5000-7000 r-xp 00001000 fe:00 43    /lib/libc.so"), None);
        assert_eq!(code("5000-7000 r-xp 00000000 00:00 0"), None);
    }

    #[test]
    fn code_goes_out_of_memory_and_comes_back() {
        let resident = || {
            let maps = std::fs::read_to_string("/proc/self/smaps").unwrap();
            let program = std::fs::read_link("/proc/self/exe").unwrap();
            let mut lines = maps.lines().skip_while(|line| code_of(line, &program).is_none());
            let size = lines.find_map(|line| line.strip_prefix("Rss:")).unwrap();
            size.split_whitespace().next().unwrap().parse::<u64>().unwrap()
        };
        // Enough of it runs for a difference that other tests' threads do not make up for.
        drop(crate::connector::Engine::new().unwrap());
        let before = resident();
        program();
        assert!(resident() < before);
        drop(crate::connector::Engine::new().unwrap());
    }
}
