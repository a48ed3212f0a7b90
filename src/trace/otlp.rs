//! Spans as the body of an OTLP/HTTP request, in the JSON encoding: ids are hexadecimal, integers of 64 bits are
//! text, enumerations are numbers (opentelemetry.io, OTLP 1.x, "JSON Protobuf Encoding").
//!
//! JSON rather than protobuf: collectors take both, and it needs no code generator and no second HTTP client.

use super::spans::{Attributes, Span, Value};
use crate::json::Json;

/// Status of a span that failed.
const STATUS_ERROR: i32 = 2;
/// Sampled, in the flags of W3C's Trace Context.
const SAMPLED: i32 = 1;

/// Who sends the spans, written once.
pub(super) fn resource(instance: &str) -> Vec<u8> {
    let mut json = Json::new(false);
    json.object(|j| {
        attributes(
            j,
            &vec![
                ("service.name", Value::Word("hean")),
                ("service.version", Value::Word(env!("CARGO_PKG_VERSION"))),
                ("service.instance.id", Value::Text(instance.to_owned())),
            ],
        );
    });
    json.into_bytes()
}

/// `ExportTraceServiceRequest`.
pub(super) fn request(resource: &[u8], spans: &[Span]) -> Vec<u8> {
    let mut json = Json::new(false);
    json.object(|j| {
        j.key("resourceSpans").array(|j| {
            j.object(|j| {
                j.key("resource").raw(resource);
                j.key("scopeSpans").array(|j| {
                    j.object(|j| {
                        j.key("scope").object(|j| {
                            j.key("name").text("hean");
                            j.key("version").text(env!("CARGO_PKG_VERSION"));
                        });
                        j.key("spans")
                            .array(|j| spans.iter().for_each(|s| span(j, s)));
                    });
                });
            });
        });
    });
    json.into_bytes()
}

fn span(json: &mut Json, span: &Span) {
    json.object(|j| {
        j.key("traceId").id(span.trace);
        j.key("spanId").id(span.id);
        if let Some(parent) = span.parent {
            j.key("parentSpanId").id(parent);
        }
        j.key("flags").int(SAMPLED);
        j.key("name").text(span.name);
        j.key("kind").int(span.kind as i32);
        j.key("startTimeUnixNano").id(span.start.0);
        j.key("endTimeUnixNano").id(span.end.0);
        attributes(j, &span.attributes);
        if !span.events.is_empty() {
            j.key("events").array(|j| {
                for (time, name, fields) in &span.events {
                    j.object(|j| {
                        j.key("timeUnixNano").id(time.0);
                        j.key("name").text(name);
                        attributes(j, fields);
                    });
                }
            });
        }
        if let Some((trace, id)) = span.link {
            j.key("links").array(|j| {
                j.object(|j| {
                    j.key("traceId").id(trace);
                    j.key("spanId").id(id);
                    j.key("flags").int(SAMPLED);
                });
            });
        }
        if let Some(error) = &span.error {
            j.key("status").object(|j| {
                j.key("code").int(STATUS_ERROR);
                j.key("message").text(error);
            });
        }
    });
}

fn attributes(json: &mut Json, attributes: &Attributes) {
    json.key("attributes").array(|j| {
        for (name, value) in attributes {
            j.object(|j| {
                j.key("key").text(name);
                j.key("value").object(|j| match value {
                    Value::Text(text) => j.key("stringValue").text(text),
                    Value::Word(text) => j.key("stringValue").text(text),
                    Value::Int(number) => j.key("intValue").id(number),
                    Value::Bool(flag) => j.key("boolValue").bool(*flag),
                });
            });
        }
    });
}
