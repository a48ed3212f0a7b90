//! The file itself: one static program that needs nothing around it.

use std::process::Command;

use super::process::{HEAN, command, stdout};

/// A little-endian number of `bytes` bytes at `at`.
fn number(file: &[u8], at: usize, bytes: usize) -> usize {
    let part = &file[at..at + bytes];
    part.iter()
        .rev()
        .fold(0, |value, byte| value << 8 | usize::from(*byte))
}

#[test]
fn the_binary_is_a_static_pie() {
    /// A shared object or position-independent program.
    const ET_DYN: usize = 3;
    const PT_DYNAMIC: usize = 2;
    const PT_INTERP: usize = 3;
    const DT_NEEDED: usize = 1;
    let file = std::fs::read(HEAN).expect("the binary");
    assert_eq!(&file[..6], b"\x7fELF\x02\x01", "64 bits, little endian");
    assert_eq!(number(&file, 16, 2), ET_DYN, "position-independent");
    let (table, size, count) = (
        number(&file, 32, 8),
        number(&file, 54, 2),
        number(&file, 56, 2),
    );
    let mut dynamic = None;
    for header in (0..count).map(|at| table + at * size) {
        match number(&file, header, 4) {
            PT_INTERP => panic!("it asks for a dynamic linker"),
            PT_DYNAMIC => {
                dynamic = Some((number(&file, header + 8, 8), number(&file, header + 32, 8)));
            }
            _ => {}
        }
    }
    let (start, length) = dynamic.expect("a dynamic section, for its own relocation");
    let tags = (start..start + length).step_by(16);
    assert!(
        !tags.clone().any(|at| number(&file, at, 8) == DT_NEEDED),
        "it asks for a library"
    );
    assert!(tags.count() > 3);
}

#[test]
fn the_binary_says_what_it_is() {
    let version = stdout(&["--version"]);
    assert!(
        version.starts_with(concat!("hean ", env!("CARGO_PKG_VERSION"))),
        "{version}"
    );
    assert!(version.contains("static"), "{version}");
}

#[test]
#[expect(clippy::print_stdout, reason = "a skipped test says so")]
fn the_binary_runs_in_an_empty_root() {
    let id = Command::new("id").arg("-u").output().expect("id");
    if id.stdout != b"0\n" {
        println!("skipped: only root may change the root");
        return;
    }
    let dir = tempfile::tempdir().expect("directory");
    std::fs::copy(HEAN, dir.path().join("hean")).expect("a copy");
    let output = command("chroot")
        .arg(dir.path())
        .args(["/hean", "--version"])
        .output()
        .expect("chroot");
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{log}");
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        stdout(&["--version"])
    );
}
