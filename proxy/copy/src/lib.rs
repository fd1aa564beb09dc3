//! `memcpy` and `memmove` of the static binary.
//!
//! musl's, on x86-64, is one string instruction, which takes long to begin: a call with 8 kB of JSON, which is copied in thousands of small
//! pieces, spent a third of its processor time in it. Whoever links this crate for musl has these instead. They are assembly, because
//! a compiler makes a call of `memcpy` out of a loop that copies.

#![no_std]

#[cfg(target_arch = "x86_64")]
core::arch::global_asm!(
    ".text",
    ".p2align 4",
    ".globl ferrata_memmove",
    ".hidden ferrata_memmove",
    ".type ferrata_memmove, @function",
    "ferrata_memmove:",
    "    mov rax, rdi",
    "    cmp rdx, 32",
    "    ja 4f",
    // Up to 32 bytes: everything is read before anything is written, from both ends, so that any overlap will do.
    "    cmp rdx, 16",
    "    jae 3f",
    "    cmp rdx, 8",
    "    jae 2f",
    "    cmp rdx, 4",
    "    jae 1f",
    "    test rdx, rdx",
    "    je 9f",
    // One to three bytes: the first, the middle one and the last.
    "    movzx ecx, byte ptr [rsi]",
    "    movzx r8d, byte ptr [rsi + rdx - 1]",
    "    mov r9, rdx",
    "    shr r9, 1",
    "    movzx r10d, byte ptr [rsi + r9]",
    "    mov byte ptr [rdi], cl",
    "    mov byte ptr [rdi + r9], r10b",
    "    mov byte ptr [rdi + rdx - 1], r8b",
    "9:  ret",
    "1:  mov ecx, dword ptr [rsi]",
    "    mov r8d, dword ptr [rsi + rdx - 4]",
    "    mov dword ptr [rdi], ecx",
    "    mov dword ptr [rdi + rdx - 4], r8d",
    "    ret",
    "2:  mov rcx, qword ptr [rsi]",
    "    mov r8, qword ptr [rsi + rdx - 8]",
    "    mov qword ptr [rdi], rcx",
    "    mov qword ptr [rdi + rdx - 8], r8",
    "    ret",
    "3:  movups xmm0, xmmword ptr [rsi]",
    "    movups xmm1, xmmword ptr [rsi + rdx - 16]",
    "    movups xmmword ptr [rdi], xmm0",
    "    movups xmmword ptr [rdi + rdx - 16], xmm1",
    "    ret",
    // More: 32 at a time, and the rest, which was read before anything was written. A source that begins before its target, and reaches
    // into it, goes from its end to its beginning.
    "4:  mov rcx, rdi",
    "    sub rcx, rsi",
    "    cmp rcx, rdx",
    "    jb 6f",
    "    movups xmm2, xmmword ptr [rsi + rdx - 32]",
    "    movups xmm3, xmmword ptr [rsi + rdx - 16]",
    "    lea rcx, [rdi + rdx - 32]",
    "    .p2align 4",
    "5:  movups xmm0, xmmword ptr [rsi]",
    "    movups xmm1, xmmword ptr [rsi + 16]",
    "    add rsi, 32",
    "    movups xmmword ptr [rdi], xmm0",
    "    movups xmmword ptr [rdi + 16], xmm1",
    "    add rdi, 32",
    "    cmp rdi, rcx",
    "    jb 5b",
    "    movups xmmword ptr [rcx], xmm2",
    "    movups xmmword ptr [rcx + 16], xmm3",
    "    ret",
    "6:  movups xmm2, xmmword ptr [rsi]",
    "    movups xmm3, xmmword ptr [rsi + 16]",
    "    lea rcx, [rdi + 32]",
    "    add rsi, rdx",
    "    add rdi, rdx",
    "    .p2align 4",
    "7:  movups xmm0, xmmword ptr [rsi - 16]",
    "    movups xmm1, xmmword ptr [rsi - 32]",
    "    sub rsi, 32",
    "    movups xmmword ptr [rdi - 16], xmm0",
    "    movups xmmword ptr [rdi - 32], xmm1",
    "    sub rdi, 32",
    "    cmp rdi, rcx",
    "    ja 7b",
    "    movups xmmword ptr [rax], xmm2",
    "    movups xmmword ptr [rax + 16], xmm3",
    "    ret",
    ".size ferrata_memmove, . - ferrata_memmove",
);

// Both, because musl's `memmove` would bring its `memcpy` along.
#[cfg(all(target_arch = "x86_64", target_env = "musl"))]
core::arch::global_asm!(
    ".globl memcpy",
    ".globl memmove",
    ".type memcpy, @function",
    ".type memmove, @function",
    ".set memcpy, ferrata_memmove",
    ".set memmove, ferrata_memmove",
);

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    extern crate std;
    use std::vec::Vec;

    unsafe extern "C" {
        fn ferrata_memmove(to: *mut u8, from: *const u8, bytes: usize) -> *mut u8;
    }

    /// Where something is copied within a buffer, forth and back, and what stands around it.
    const ROOM: usize = 700;

    #[test]
    fn every_size_is_copied_however_it_overlaps_and_nothing_else_is_touched() {
        let before: Vec<u8> = (0..ROOM).map(|i| (i * 31 % 251) as u8).collect();
        for bytes in 0..=300 {
            for from in [0, 1, 7, 16, 150, 300, 399] {
                for to in (0..ROOM - bytes).step_by(if bytes < 70 { 1 } else { 13 }) {
                    let mut expected = before.clone();
                    expected.copy_within(from..from + bytes, to);
                    let mut copied = before.clone();
                    let start = copied.as_mut_ptr();
                    // SAFETY: both ranges are within the buffer.
                    let returned = unsafe { ferrata_memmove(start.add(to), start.add(from), bytes) };
                    assert_eq!(returned as usize, start as usize + to);
                    assert!(copied == expected, "{bytes} bytes from {from} to {to}");
                }
            }
        }
    }
}
