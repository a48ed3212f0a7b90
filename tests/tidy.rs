//! The repository lints itself: rules that neither rustc nor clippy knows.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Longest source file, in lines.
const LINES_MAX: usize = 600;

/// What deterministic code never names: clocks, sockets, files, threads, randomness, hash-map order,
/// logs, metrics. Everything there is an input or an effect.
const BANNED_IN_KERNEL: &[&str] = &[
    "SystemTime",
    "Instant",
    "quanta",
    "std::net",
    "std::fs",
    "std::env",
    "std::io",
    "std::thread",
    "thread::",
    "tokio",
    "HashMap",
    "HashSet",
    "RandomState",
    "rand",
    "rand_chacha",
    "getrandom",
    "tracing",
    "log::",
    "metrics::",
    "parking_lot",
];

/// The deterministic parts.
const DETERMINISTIC: &[&str] = &[
    "src/kernel/",
    "src/venue/sim/matching.rs",
    "src/venue/sim/paper.rs",
    "src/venue/sim/paper/",
    "src/venue/paper.rs",
];

struct Source {
    /// Relative to the repository, with forward slashes.
    path: String,
    text: String,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn walk(dir: &Path, keep: &dyn Fn(&Path) -> bool, out: &mut Vec<PathBuf>) {
    let mut paths: Vec<PathBuf> = fs::read_dir(dir)
        .unwrap_or_else(|error| panic!("{}: {error}", dir.display()))
        .map(|entry| entry.expect("entry").path())
        .collect();
    paths.sort();
    for path in paths {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if ["target", ".git", "data"].contains(&name.as_ref()) {
            continue;
        }
        if path.is_dir() {
            walk(&path, keep, out);
        } else if keep(&path) {
            out.push(path);
        }
    }
}

fn files(keep: &dyn Fn(&Path) -> bool) -> Vec<Source> {
    let mut paths = Vec::new();
    walk(root(), keep, &mut paths);
    paths
        .into_iter()
        .filter_map(|path| {
            let name = path.strip_prefix(root()).expect("below the root");
            Some(Source {
                path: name.to_string_lossy().replace('\\', "/"),
                text: fs::read_to_string(&path).ok()?, // not text
            })
        })
        .collect()
}

fn rust() -> Vec<Source> {
    files(&|path| path.extension().is_some_and(|e| e == "rs"))
}

/// Code without comments and without its unit tests, by line number.
fn code(text: &str) -> Vec<(usize, &str)> {
    let mut out = Vec::new();
    let mut lines = text.lines().enumerate().peekable();
    while let Some((index, line)) = lines.next() {
        if line.trim() == "#[cfg(test)]" {
            match lines.peek() {
                // `mod name;`: that file is left out on its own.
                Some((_, next)) if next.ends_with(';') => {
                    lines.next();
                    continue;
                }
                // By convention the tests are the end of a file.
                Some((_, next)) if next.starts_with("mod ") => return out,
                _ => {}
            }
        }
        let code = line.split("//").next().unwrap_or_default();
        out.push((index + 1, code));
    }
    out
}

/// Files that a `#[cfg(test)] mod name;` declares.
fn test_modules(sources: &[Source]) -> BTreeSet<String> {
    let mut out = BTreeSet::new();
    for source in sources {
        let dir = match source.path.strip_suffix("/mod.rs") {
            Some(dir) => dir,
            None => source.path.strip_suffix(".rs").unwrap_or_default(),
        };
        let mut lines = source.text.lines().peekable();
        while let Some(line) = lines.next() {
            if line.trim() != "#[cfg(test)]" {
                continue;
            }
            let name = lines
                .peek()
                .and_then(|next| next.trim().rsplit_once("mod "))
                .and_then(|(_, rest)| rest.strip_suffix(';'));
            if let Some(name) = name {
                out.insert(format!("{dir}/{name}"));
            }
        }
    }
    out
}

fn is_test_module(path: &str, modules: &BTreeSet<String>) -> bool {
    modules.iter().any(|module| {
        path.strip_prefix(module.as_str())
            .is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
    })
}

/// Whether `word` stands in `code` on its own, not as a part of a longer name.
fn names(code: &str, word: &str) -> bool {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    code.match_indices(word).any(|(at, _)| {
        let before = code[..at].chars().next_back();
        let after = code[at + word.len()..].chars().next();
        !before.is_some_and(part) && (word.ends_with(':') || !after.is_some_and(part))
    })
}

#[test]
fn deterministic_code_names_nothing_of_the_world() {
    let sources = rust();
    let modules = test_modules(&sources);
    let mut found = Vec::new();
    let mut seen = 0;
    for source in &sources {
        if !DETERMINISTIC.iter().any(|p| source.path.starts_with(p))
            || is_test_module(&source.path, &modules)
        {
            continue;
        }
        seen += 1;
        for (line, code) in code(&source.text) {
            for word in BANNED_IN_KERNEL {
                if names(code, word) {
                    found.push(format!("{}:{line}: {word}", source.path));
                }
            }
        }
    }
    assert!(seen > 10, "the kernel has moved: only {seen} files seen");
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn the_word_search_finds_words_and_not_parts_of_them() {
    assert!(names("use std::time::Instant;", "Instant"));
    assert!(names("metrics::counter!()", "metrics::"));
    assert!(!names("fn for_instant()", "Instant"));
    assert!(!names("InstantX", "Instant"));
    assert!(!names("let operand = brand;", "rand"));
    let text = "a // Instant\n#[cfg(test)]\nmod x;\nb\n#[cfg(test)]\nmod tests {\nInstant\n}\n";
    assert_eq!(code(text), [(1, "a "), (4, "b")]);
}

#[test]
fn every_file_says_what_it_is_for() {
    let silent: Vec<String> = rust()
        .into_iter()
        .filter(|source| !source.text.starts_with("//!"))
        .map(|source| source.path)
        .collect();
    assert!(silent.is_empty(), "no //! at the top of {silent:?}");
}

#[test]
fn files_stay_short() {
    let long: Vec<String> = rust()
        .into_iter()
        .filter_map(|source| {
            let lines = source.text.lines().count();
            (lines > LINES_MAX).then(|| format!("{}: {lines} lines", source.path))
        })
        .collect();
    assert!(long.is_empty(), "split these: {long:#?}");
}

#[test]
fn the_architecture_page_names_every_folder() {
    let page = fs::read_to_string(root().join("src/ARCHITECTURE.md"))
        .expect("src/ARCHITECTURE.md, which names every folder below src");
    let folders: BTreeSet<String> = rust()
        .into_iter()
        .filter_map(|source| {
            let below = source.path.strip_prefix("src/")?.to_owned();
            below.rsplit_once('/').map(|(dir, _)| dir.to_owned())
        })
        .collect();
    assert!(folders.len() > 5, "{folders:?}");
    let missing: Vec<&String> = folders
        .iter()
        .filter(|folder| !page.contains(&format!("{folder}/")))
        .collect();
    assert!(
        missing.is_empty(),
        "not in src/ARCHITECTURE.md: {missing:?}"
    );
}

#[test]
fn tests_are_neither_switched_off_nor_asleep() {
    let off = concat!("#[", "ignore");
    let asleep = [concat!("thread::", "sleep"), concat!("time::", "sleep(")];
    let sources = rust();
    let modules = test_modules(&sources);
    let mut found = Vec::new();
    for source in &sources {
        let whole = source.path.starts_with("tests/") || is_test_module(&source.path, &modules);
        let mut in_tests = whole;
        for (index, line) in source.text.lines().enumerate() {
            in_tests |= line.starts_with("mod tests {");
            let line = line.split("//").next().unwrap_or_default();
            if line.contains(off) || (in_tests && asleep.iter().any(|word| line.contains(word))) {
                found.push(format!("{}:{}: {}", source.path, index + 1, line.trim()));
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn no_path_of_a_workplace_is_left_in() {
    let banned = [
        concat!("/work/", "shared"),
        concat!("/tmp", "/w/"),
        concat!("/root", "/"),
        concat!("/home", "/runner"),
        concat!("work", "tree"),
    ];
    let found: Vec<String> = files(&|_| true)
        .into_iter()
        .filter(|source| banned.iter().any(|word| source.text.contains(word)))
        .map(|source| source.path)
        .collect();
    assert!(found.is_empty(), "workplace paths in {found:?}");
}

#[test]
fn text_files_end_with_a_line_end_and_lines_with_a_character() {
    let kinds = ["rs", "md", "toml", "yml", "conf", "service"];
    let wanted = |path: &Path| {
        let kind = path.extension().unwrap_or_default().to_string_lossy();
        kinds.contains(&kind.as_ref())
    };
    let mut found = Vec::new();
    for source in files(&wanted) {
        if !source.text.is_empty() && !source.text.ends_with('\n') {
            found.push(format!("{}: no line end at the end", source.path));
        }
        for (index, line) in source.text.lines().enumerate() {
            if line.ends_with([' ', '\t', '\r']) {
                found.push(format!("{}:{}: blanks at the end", source.path, index + 1));
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}
