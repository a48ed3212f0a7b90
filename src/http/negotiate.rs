//! What a request says of the forms of its answer and of its own body: `Accept`, `Accept-Encoding`, `Content-Type`.

use hyper::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName};

use super::problem::{Code, Problem, either};

/// A form that an answer can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Media {
    /// A JSON document.
    Json,
    /// A table for spreadsheets.
    Csv,
    /// Plain text.
    Text,
    /// A page.
    Html,
}

impl Media {
    /// As clients name it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Csv => "text/csv",
            Self::Text => "text/plain",
            Self::Html => "text/html",
        }
    }

    /// How much a range of `Accept` says about it: 3 by its name, 2 by its kind, 1 by `*/*`.
    fn fits(self, range: &str) -> u8 {
        let name = self.name();
        let kind = name.split('/').next().unwrap_or_default();
        if range.eq_ignore_ascii_case(name) {
            return 3;
        }
        match range.split_once('/') {
            Some(("*", "*")) => 1,
            Some((of, "*")) if of.eq_ignore_ascii_case(kind) => 2,
            _ => 0,
        }
    }
}

/// The form that a client likes best of those that a route `offers`; the first of them if it does not say.
pub(crate) fn media(offers: &'static [Media], headers: &HeaderMap) -> Result<Media, Box<Problem>> {
    let first = offers.first().copied().unwrap_or(Media::Json);
    let accepts = headers.get_all(ACCEPT);
    if accepts.iter().next().is_none() {
        return Ok(first);
    }
    let mut best: Option<(Media, u16)> = None;
    for offer in offers {
        // The range that says most about it counts.
        let mut quality = (0, 0);
        for (range, q) in accepts.iter().flat_map(|value| weighed(value.to_str())) {
            let fits = offer.fits(range);
            if fits > quality.0 {
                quality = (fits, q);
            }
        }
        if quality.1 > best.map_or(0, |(_, q)| q) {
            best = Some((*offer, quality.1));
        }
    }
    best.map(|(media, _)| media).ok_or_else(|| {
        let names: Vec<&str> = offers.iter().map(|media| media.name()).collect();
        let names = either(&names).unwrap_or_default();
        Problem::new(
            Code::NotAcceptable,
            "no form of this answer is one that the Accept header takes",
        )
        .member("field", "Accept")
        .hint(format!("it comes as {names}: accept that, or */*"))
    })
}

/// Whether an answer may be compressed with gzip.
pub(crate) fn takes_gzip(headers: &HeaderMap) -> bool {
    let values = headers.get_all(ACCEPT_ENCODING);
    let (mut named, mut any) = (None, None);
    for (coding, q) in values.iter().flat_map(|value| weighed(value.to_str())) {
        if coding.eq_ignore_ascii_case("gzip") || coding.eq_ignore_ascii_case("x-gzip") {
            named = Some(q);
        } else if coding == "*" {
            any = Some(q);
        }
    }
    named.or(any).is_some_and(|q| q > 0)
}

/// Refuses a body that says that it is something else than JSON. `curl -d` says that it is a form, and so do pages of
/// other sites, which may send forms anywhere.
pub(crate) fn takes_json(headers: &HeaderMap) -> Result<(), Box<Problem>> {
    let mut types = headers.get_all(CONTENT_TYPE).iter();
    let Some(first) = types.next() else {
        return Ok(());
    };
    let name = first.to_str().unwrap_or_default();
    let bare = name.split(';').next().unwrap_or_default().trim();
    if types.next().is_none() && bare.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    let shown: String = bare.chars().take(64).collect();
    Err(Problem::new(
        Code::UnsupportedMediaType,
        format!("the body is said to be {shown:?}; it must be application/json"),
    )
    .member("field", "Content-Type")
    .header(
        HeaderName::from_static("accept-post"),
        hyper::header::HeaderValue::from_static("application/json"),
    )
    .hint("send the header Content-Type: application/json, with curl by --json"))
}

/// The entries of a list with quality values, in thousandths. What is no such entry weighs nothing.
fn weighed<E>(value: Result<&str, E>) -> impl Iterator<Item = (&str, u16)> {
    /// More entries than any browser sends.
    const ENTRIES_MAX: usize = 32;
    let value = value.unwrap_or_default();
    value.split(',').take(ENTRIES_MAX).map(|entry| {
        let mut parts = entry.split(';');
        let name = parts.next().unwrap_or_default().trim();
        let q = parts
            .filter_map(|part| part.split_once('='))
            .find(|(key, _)| key.trim().eq_ignore_ascii_case("q"))
            .map_or(Some(1_000), |(_, q)| thousandths(q.trim()));
        (name, q.unwrap_or(0))
    })
}

/// `0.5` is 500; `None` for what is no quality value.
fn thousandths(q: &str) -> Option<u16> {
    let (whole, part) = q.split_once('.').unwrap_or((q, ""));
    if part.len() > 3 || !part.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let part: u16 = format!("{part:0<3}").parse().ok()?;
    match (whole, part) {
        ("0", part) => Some(part),
        ("1", 0) => Some(1_000),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    fn headers(name: HeaderName, value: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        if value != "-" {
            headers.insert(name, HeaderValue::from_str(value).expect("a header"));
        }
        headers
    }

    #[test]
    fn the_best_of_the_offers_is_taken() {
        const OFFERS: &[Media] = &[Media::Json, Media::Csv];
        for (accept, taken) in [
            ("-", Some(Media::Json)),
            ("*/*", Some(Media::Json)),
            ("text/csv", Some(Media::Csv)),
            ("TEXT/CSV;q=0.1", Some(Media::Csv)),
            ("text/*", Some(Media::Csv)),
            ("application/json;q=0.5, text/csv;q=0.9", Some(Media::Csv)),
            ("text/csv;q=0.5, application/json;q=0.5", Some(Media::Json)),
            ("text/html, */*;q=0.8", Some(Media::Json)),
            ("application/json;q=0, */*", Some(Media::Csv)),
            ("text/csv; charset=utf-8", Some(Media::Csv)),
            ("application/xml", None),
            ("", None),
            ("application/json;q=0", None),
            ("application/json;q=2", None),
            ("application/json;q=0.0001", None),
        ] {
            let found = media(OFFERS, &headers(ACCEPT, accept)).ok();
            assert_eq!(found, taken, "{accept:?}");
        }
    }

    #[test]
    fn gzip_is_taken_where_it_is_said_to_be() {
        for (accept, taken) in [
            ("-", false),
            ("", false),
            ("gzip", true),
            ("deflate, GZIP;q=0.5", true),
            ("br, *", true),
            ("gzip;q=0", false),
            ("*;q=1, gzip;q=0.000", false),
            ("identity", false),
            ("gzipped", false),
        ] {
            let found = takes_gzip(&headers(ACCEPT_ENCODING, accept));
            assert_eq!(found, taken, "{accept:?}");
        }
    }

    #[test]
    fn a_body_is_json_or_does_not_say() {
        for (kind, taken) in [
            ("-", true),
            ("application/json", true),
            ("Application/JSON; charset=utf-8", true),
            ("application/x-www-form-urlencoded", false),
            ("text/plain", false),
            ("", false),
        ] {
            let found = takes_json(&headers(CONTENT_TYPE, kind)).is_ok();
            assert_eq!(found, taken, "{kind:?}");
        }
    }
}
