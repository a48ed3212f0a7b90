//! A real server, a proxy before it, a journal with orders in it, and the task between them.

mod redis;
mod tls;
mod world;

pub(crate) use redis::{Looker, Proxy, Server, server};
pub(crate) use tls::Certificates;
pub(crate) use world::{ORDERS_KEPT, OneName, World, settings};

/// The text of `record` within an event's JSON: a `serde_json::Value` cannot hold an i128.
pub(crate) fn raw_record(data: &str) -> String {
    #[derive(serde::Deserialize)]
    struct Data<'a> {
        #[serde(borrow)]
        record: &'a serde_json::value::RawValue,
    }
    let data: Data<'_> = serde_json::from_str(data).expect("JSON");
    data.record.get().to_owned()
}
