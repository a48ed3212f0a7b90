//! The answers of commands in a line or two.

use serde_json::Value;

/// A document for people: an order in a line, anything else a line for each value.
pub fn words(document: &[u8]) -> String {
    let json: Value = serde_json::from_slice(document).unwrap_or_default();
    if json["order_id"].is_string() {
        return order_words(&json);
    }
    let mut lines = Vec::new();
    flatten("", &json, &mut lines);
    lines.join("\n")
}

fn order_words(order: &Value) -> String {
    let text = |name: &str| match &order[name] {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    };
    let mut line = format!(
        "order {} {}: {} {} {}:{} {}",
        text("order_id"),
        text("status"),
        text("side"),
        text("quantity"),
        text("venue"),
        text("symbol"),
        text("type"),
    );
    for (name, word) in [
        ("price", "at"),
        ("stop_price", "from"),
        ("trail_percent", "trailing by percent"),
    ] {
        if !order[name].is_null() {
            line = format!("{line} {word} {}", text(name));
        }
    }
    if !order["avg_fill_price"].is_null() {
        let (filled, price) = (text("filled_quantity"), text("avg_fill_price"));
        line = format!("{line}; filled {filled} at {price}");
    }
    if !order["reason"].is_null() {
        line = format!("{line}; {}", text("reason"));
    }
    line
}

fn flatten(path: &str, value: &Value, lines: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let dot = if path.is_empty() { "" } else { "." };
                flatten(&format!("{path}{dot}{name}"), value, lines);
            }
        }
        Value::Null => {}
        Value::String(text) => lines.push(format!("{path}: {text}")),
        other => lines.push(format!("{path}: {other}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_put_into_words() {
        let order = r#"{"order_id":"7","status":"filled","side":"buy","quantity":"0.5","venue":"sim",
            "symbol":"X","type":"limit","price":"10.5","stop_price":null,"trail_percent":null,
            "avg_fill_price":"10.4","filled_quantity":"0.5","reason":null}"#;
        assert_eq!(
            words(order.as_bytes()),
            "order 7 filled: buy 0.5 sim:X limit at 10.5; filled 0.5 at 10.4"
        );
        let risk = r#"{"mode":"halted","use":{"exposure":"1.5","orders_open":2},"cause":null}"#;
        assert_eq!(
            words(risk.as_bytes()),
            "mode: halted\nuse.exposure: 1.5\nuse.orders_open: 2"
        );
    }
}
