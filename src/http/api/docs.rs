//! The API's description, and the page that shows it: Swagger UI from inside the binary, without any outside host.

use std::sync::LazyLock;

use flate2::Compression;
use hyper::StatusCode;
use hyper::header::{CONTENT_SECURITY_POLICY, HeaderValue};

use crate::http::openapi;
use crate::http::problem::{Code, Problem};
use crate::http::reply::{Content, Reply, compress};
use crate::http::routes::{Answer, Call};

/// Only this server's own files run, and they talk to this server alone.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
    img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

static DOCUMENT: LazyLock<Vec<u8>> =
    LazyLock::new(|| compress(openapi::document().as_bytes(), Compression::best()));
static PAGE: LazyLock<Vec<u8>> = LazyLock::new(|| compress(html().as_bytes(), Compression::best()));
static START: LazyLock<Vec<u8>> =
    LazyLock::new(|| compress(include_bytes!("../docs/start.js"), Compression::best()));
static STYLE: LazyLock<Vec<u8>> =
    LazyLock::new(|| compress(include_bytes!("../docs/page.css"), Compression::best()));

/// `GET /openapi.json`.
pub(in crate::http) fn openapi(_: &Call) -> Reply {
    ready("application/json", &DOCUMENT)
}

/// `GET /docs`.
pub(in crate::http) fn page(_: &Call) -> Reply {
    let policy = HeaderValue::from_static(POLICY);
    Reply {
        header: Some((CONTENT_SECURITY_POLICY, policy)),
        ..ready("text/html; charset=utf-8", &PAGE)
    }
}

/// `GET /docs/{file}`.
pub(in crate::http) fn file(call: &Call) -> Answer {
    let script = "text/javascript; charset=utf-8";
    let style = "text/css; charset=utf-8";
    let (kind, bytes): (_, &'static [u8]) = match call.arg.as_str() {
        "swagger-ui-bundle.js" => (script, include_bytes!("../docs/swagger-ui-bundle.js.gz")),
        "swagger-ui.css" => (style, include_bytes!("../docs/swagger-ui.css.gz")),
        "start.js" => (script, &START),
        "page.css" => (style, &STYLE),
        _ => {
            return Err(
                Problem::new(Code::NotFound, "that page has no such file").hint("open /docs")
            );
        }
    };
    Ok(ready(kind, bytes))
}

/// An answer that is made once.
fn ready(content_type: &'static str, gzip: &'static [u8]) -> Reply {
    Reply {
        status: StatusCode::OK,
        content_type,
        body: Content::Gzip(gzip),
        header: None,
        close: false,
    }
}

/// The page; below the routes it explains every code, where the `type` of a problem points to.
fn html() -> String {
    use std::fmt::Write as _;
    let mut codes = String::new();
    for code in Code::ALL {
        let (name, status, title) = (code.name(), code.status(), code.title());
        writeln!(
            codes,
            "<dt id=\"{name}\">{name}</dt><dd>{title} ({status})</dd>"
        )
        .expect("writing to memory cannot fail");
    }
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<title>hean: API</title>\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <link rel=\"icon\" href=\"data:,\">\n\
         <link rel=\"stylesheet\" href=\"/docs/swagger-ui.css\">\n\
         <link rel=\"stylesheet\" href=\"/docs/page.css\">\n</head>\n<body>\n<div id=\"ui\"></div>\n\
         <section class=\"codes\">\n<h2>Codes of problems</h2>\n<dl>\n{codes}</dl>\n</section>\n\
         <script src=\"/docs/swagger-ui-bundle.js\"></script>\n<script src=\"/docs/start.js\"></script>\n\
         </body>\n</html>\n"
    )
}
