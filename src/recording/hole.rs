//! The one line in a recording that no venue sent: something is missing here.
//!
//! It stands where frames were lost on the way to the disk (with their number), and where a
//! connection began (number 0: nobody knows what the venue sent before). Books are not to be trusted
//! behind it until the next snapshot, as behind a lost connection.

const START: &[u8] = b"{\"hean\":\"hole\",\"frames\":";

/// The frame that marks a hole of `frames` frames; 0 when nobody can know how many.
pub fn hole(frames: u64) -> Vec<u8> {
    let mut frame = START.to_vec();
    frame.extend_from_slice(frames.to_string().as_bytes());
    frame.push(b'}');
    frame
}

/// How many frames are missing, if this frame marks a hole; 0 when nobody can know.
pub fn is_hole(frame: &[u8]) -> Option<u64> {
    let digits = frame.strip_prefix(START)?.strip_suffix(b"}")?;
    let legal = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(digits)
        .ok()
        .filter(|_| legal)?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holes_are_told_from_frames() {
        for frames in [0, 7, u64::MAX] {
            assert_eq!(is_hole(&hole(frames)), Some(frames));
        }
        for other in [
            "",
            "{}",
            "{\"hean\":\"hole\",\"frames\":}",
            "{\"hean\":\"hole\",\"frames\":+1}",
            "{\"hean\":\"hole\",\"frames\":1",
            "{\"hean\":\"hole\",\"frames\":99999999999999999999}",
            "{\"e\":\"trade\",\"x\":{\"hean\":\"hole\",\"frames\":1}}",
        ] {
            assert_eq!(is_hole(other.as_bytes()), None, "{other}");
        }
    }
}
