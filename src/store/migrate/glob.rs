//! Patterns of keys, read as the servers read them: `*`, `?`, `[a-c]`, `[^x]`, `\` before a literal.

/// Whether `text` fits `pattern`.
pub(crate) fn fits(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    // Where to go back to: behind the last star, with one byte more eaten by it.
    let mut star: Option<(usize, usize)> = None;
    loop {
        if t == text.len() {
            return pattern[p..].iter().all(|byte| *byte == b'*');
        }
        if pattern.get(p) == Some(&b'*') {
            star = Some((p + 1, t));
            p += 1;
            continue;
        }
        if let Some(length) = one(&pattern[p..], text[t]) {
            p += length;
            t += 1;
            continue;
        }
        let Some((after, from)) = star else {
            return false;
        };
        star = Some((after, from + 1));
        (p, t) = (after, from + 1);
    }
}

/// How much of the pattern stands for this one byte; `None` when it does not fit.
fn one(pattern: &[u8], byte: u8) -> Option<usize> {
    match pattern {
        [b'?', ..] => Some(1),
        [b'\\', literal, ..] => (*literal == byte).then_some(2),
        [b'[', rest @ ..] => {
            let (not, mut at) = match rest.first() {
                Some(b'^') => (true, 1),
                _ => (false, 0),
            };
            let mut found = false;
            loop {
                match rest.get(at..).unwrap_or_default() {
                    // A class without an end reaches to the end of the pattern.
                    [] => break,
                    [b'\\', literal, ..] => {
                        found |= *literal == byte;
                        at += 2;
                    }
                    [b']', ..] => {
                        at += 1;
                        break;
                    }
                    [low, b'-', high, ..] => {
                        found |= (*low.min(high)..=*low.max(high)).contains(&byte);
                        at += 3;
                    }
                    [literal, ..] => {
                        found |= *literal == byte;
                        at += 1;
                    }
                }
            }
            (found != not).then_some(1 + at)
        }
        [literal, ..] => (*literal == byte).then_some(1),
        [] => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_mean_what_they_mean_to_the_server() {
        for (pattern, yes, no) in [
            ("*", &["", "abc"][..], &[][..]),
            ("order:*", &["order:", "order:1"], &["orders", "xorder:1"]),
            ("*:1", &["a:1", ":1", "a:1:1"], &["a:12"]),
            ("a*b*c", &["abc", "aXbYc", "abbcbc"], &["abcd", "acb"]),
            ("h?llo", &["hello", "h*llo"], &["hllo", "heello"]),
            ("h[ae]llo", &["hallo", "hello"], &["hillo"]),
            ("h[^e]llo", &["hallo"], &["hello"]),
            ("[a-c]1", &["a1", "b1", "c1"], &["d1", "-1"]),
            ("[c-a]1", &["b1"], &["d1"]),
            (r"\*x", &["*x"], &["ax", r"\*x"]),
            (r"[\]]", &["]"], &["["]),
            ("[ab", &["a"], &["c"]),
            ("", &[""], &["a"]),
        ] {
            for text in yes {
                assert!(
                    fits(pattern.as_bytes(), text.as_bytes()),
                    "{pattern} {text}"
                );
            }
            for text in no {
                assert!(
                    !fits(pattern.as_bytes(), text.as_bytes()),
                    "{pattern} {text}"
                );
            }
        }
    }

    #[test]
    fn many_stars_take_no_exponential_time() {
        let pattern = b"a*".repeat(200);
        assert!(!fits(&[&pattern[..], b"b"].concat(), &b"a".repeat(5_000)));
    }

    proptest::proptest! {
        #[test]
        fn no_pattern_panics(pattern in "[ab*?\\[\\]^\\\\-]{0,12}", text in "[ab\\]]{0,8}") {
            fits(pattern.as_bytes(), text.as_bytes());
            proptest::prop_assert!(fits(&[pattern.as_bytes(), b"*"].concat(), &[]) || !pattern.is_empty());
        }
    }
}
