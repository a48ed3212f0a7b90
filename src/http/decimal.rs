//! Decimal text from callers, with exponent if they like, onto an instrument's grid: exactly, or an
//! error that names both neighbours.

/// A decimal number at a scale, rounded towards zero where it is finer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Scaled {
    /// Whether there was a minus sign.
    pub(crate) negative: bool,
    /// The absolute value times ten to the power of the scale.
    pub(crate) magnitude: i128,
    /// Whether nothing was lost.
    pub(crate) exact: bool,
}

/// Why text is no usable number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DecimalError {
    #[error("not a decimal number")]
    Syntax,
    #[error("number out of range")]
    Range,
}

/// The nearest values on a grid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Neighbours {
    pub(crate) below: i128,
    pub(crate) above: i128,
}

/// Reads `[-]digits[.digits][e[+-]digits]` at `scale`.
pub(crate) fn parse(text: &str, scale: u8) -> Result<Scaled, DecimalError> {
    /// Longer than any number that means something here.
    const LEN_MAX: usize = 64;
    if text.len() > LEN_MAX {
        return Err(DecimalError::Range);
    }
    let (negative, text) = match text.strip_prefix('-') {
        Some(text) => (true, text),
        None => (false, text),
    };
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, parse_exponent(exponent)?),
        None => (text, 0),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((_, "")) => return Err(DecimalError::Syntax),
        Some(parts) => parts,
        None => (mantissa, ""),
    };
    let digits = [whole, fraction].concat();
    if whole.is_empty() || !digits.bytes().all(|c| c.is_ascii_digit()) {
        return Err(DecimalError::Syntax);
    }
    // The digits, read as an integer, times 10^shift are the number at the scale.
    let shift = exponent + i64::from(scale) - i64::try_from(fraction.len()).unwrap_or(i64::MAX);
    let dropped = usize::try_from(shift.min(0).unsigned_abs()).unwrap_or(usize::MAX);
    let (kept, lost) = digits.split_at(digits.len().saturating_sub(dropped));
    let kept = kept.trim_start_matches('0');
    let magnitude = if kept.is_empty() {
        0
    } else {
        let unit = u32::try_from(shift.max(0))
            .ok()
            .and_then(|shift| 10_i128.checked_pow(shift));
        kept.parse::<i128>()
            .ok()
            .zip(unit)
            .and_then(|(kept, unit)| kept.checked_mul(unit))
            .ok_or(DecimalError::Range)?
    };
    Ok(Scaled {
        negative,
        magnitude,
        exact: lost.bytes().all(|c| c == b'0'),
    })
}

fn parse_exponent(text: &str) -> Result<i64, DecimalError> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|c| c.is_ascii_digit()) {
        return Err(DecimalError::Syntax);
    }
    text.parse::<i64>()
        .ok()
        .filter(|e| e.unsigned_abs() <= 10_000)
        .ok_or(DecimalError::Range)
}

impl Scaled {
    /// The value if it is a multiple of `step`, else its neighbours that are.
    pub(crate) fn on_grid(self, step: i64) -> Result<i128, Neighbours> {
        let step = i128::from(step.max(1));
        let below = self.magnitude - self.magnitude % step;
        if self.exact && below == self.magnitude {
            Ok(self.magnitude)
        } else {
            Err(Neighbours {
                below,
                above: below.saturating_add(step),
            })
        }
    }

    /// Whether the number is above zero.
    pub(crate) fn is_positive(self) -> bool {
        !self.negative && (self.magnitude > 0 || !self.exact)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str, scale: u8) -> Result<(i128, bool), DecimalError> {
        parse(text, scale).map(|s| {
            (
                if s.negative {
                    -s.magnitude
                } else {
                    s.magnitude
                },
                s.exact,
            )
        })
    }

    #[test]
    fn one_number_many_spellings() {
        for text in [
            "61602.01",
            "61602.0100",
            "6.160201e4",
            "6160201E-2",
            "061602.01",
            "616020.1e-1",
            "6160201000e-5",
        ] {
            assert_eq!(value(text, 2), Ok((6_160_201, true)), "{text}");
        }
        assert_eq!(value("-1e-8", 8), Ok((-1, true)));
        assert_eq!(value("0e9999", 2), Ok((0, true)));
        assert_eq!(value("0.0000", 2), Ok((0, true)));
    }

    #[test]
    fn what_is_finer_is_said_to_be_inexact() {
        assert_eq!(value("61602.015", 2), Ok((6_160_201, false)));
        assert_eq!(value("1e-9", 8), Ok((0, false)));
        assert_eq!(value("1e-9999", 8), Ok((0, false)));
        let long = format!("1.{}1", "0".repeat(60));
        assert_eq!(value(&long, 2), Ok((100, false)));
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "", "-", ".5", "1.", "+1", " 1", "1 ", "0x1", "NaN", "1e", "1e+", "1e1.5", "1e--1",
            "1,0", "--1", "Infinity", "1.2.3", "1e1e1", "٣",
        ] {
            assert_eq!(value(text, 8), Err(DecimalError::Syntax), "{text}");
        }
        for text in ["1e40", "1e10001", "1e99999999999999999999"] {
            assert_eq!(value(text, 8), Err(DecimalError::Range), "{text}");
        }
        assert_eq!(value(&"9".repeat(65), 0), Err(DecimalError::Range));
    }

    #[test]
    fn both_neighbours_are_on_the_grid() {
        let at = |text| parse(text, 2).expect("number").on_grid(10);
        assert_eq!(at("0.10"), Ok(10));
        assert_eq!(
            at("0.15"),
            Err(Neighbours {
                below: 10,
                above: 20
            })
        );
        assert_eq!(
            at("0.1999"),
            Err(Neighbours {
                below: 10,
                above: 20
            })
        );
        assert_eq!(
            at("0.2001"),
            Err(Neighbours {
                below: 20,
                above: 30
            })
        );
        assert_eq!(
            at("0.001"),
            Err(Neighbours {
                below: 0,
                above: 10
            })
        );
    }

    proptest::proptest! {
        #[test]
        fn agrees_with_the_strict_parser(value in proptest::num::i64::ANY, scale in 0_u8..=8) {
            let text = crate::kernel::types::format_fixed(i128::from(value), scale).to_string();
            let got = parse(&text, scale).expect("number");
            proptest::prop_assert!(got.exact);
            let signed = if got.negative { -got.magnitude } else { got.magnitude };
            proptest::prop_assert_eq!(signed, i128::from(value));
        }

        #[test]
        fn never_panics(text in "[-+.eE0-9]{0,70}", scale in 0_u8..=16) {
            if let Ok(scaled) = parse(&text, scale) {
                proptest::prop_assert!(scaled.magnitude >= 0);
            }
        }
    }
}
