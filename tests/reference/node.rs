//! JSON as a tree that can be changed and written again.

use std::fmt;

use serde::de::{MapAccess, Visitor};
use serde_json::value::RawValue;

use super::Refusal;

/// A JSON value that keeps everything: the order of pairs, repeated keys, the text of numbers.
#[derive(Debug, Clone)]
pub(crate) enum Node {
    /// Pairs in order.
    Object(Vec<(String, Node)>),
    /// Elements.
    Array(Vec<Node>),
    /// Unescaped.
    Text(String),
    /// A number, `true`, `false`, `null`, or anything that a test puts there.
    Raw(String),
}

type Pairs = Vec<(String, Node)>;

struct RawPairs(Vec<(String, Box<RawValue>)>);

impl<'de> serde::Deserialize<'de> for RawPairs {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = RawPairs;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<RawPairs, M::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(RawPairs(pairs))
            }
        }
        deserializer.deserialize_map(Collect)
    }
}

impl Node {
    /// Parses a whole text; nesting beyond 16 is refused.
    pub(crate) fn parse(text: &str) -> Result<Self, Refusal> {
        Self::nested(text, 0)
    }

    fn nested(text: &str, depth: usize) -> Result<Self, Refusal> {
        let text = text.trim_matches([' ', '\t', '\r', '\n']);
        let bad = |e: serde_json::Error| e.to_string();
        if text.starts_with(['{', '[']) && depth == 16 {
            return Err("too deep".to_owned());
        }
        if text.starts_with('{') {
            let RawPairs(pairs) = serde_json::from_str(text).map_err(bad)?;
            let inner = |(key, raw): (String, Box<RawValue>)| {
                Ok((key, Self::nested(raw.get(), depth + 1)?))
            };
            return pairs
                .into_iter()
                .map(inner)
                .collect::<Result<_, Refusal>>()
                .map(Node::Object);
        }
        if text.starts_with('[') {
            let items: Vec<Box<RawValue>> = serde_json::from_str(text).map_err(bad)?;
            let items = items.iter().map(|raw| Self::nested(raw.get(), depth + 1));
            return items.collect::<Result<_, Refusal>>().map(Node::Array);
        }
        if text.starts_with('"') {
            return serde_json::from_str(text).map(Node::Text).map_err(bad);
        }
        let raw: &RawValue = serde_json::from_str(text).map_err(bad)?;
        Ok(Node::Raw(raw.get().to_owned()))
    }

    /// Number of objects in here, this one included.
    fn objects(&self) -> usize {
        match self {
            Node::Object(pairs) => 1 + pairs.iter().map(|(_, n)| n.objects()).sum::<usize>(),
            Node::Array(items) => items.iter().map(Node::objects).sum(),
            Node::Text(_) | Node::Raw(_) => 0,
        }
    }

    /// Changes object number `n`, counted from the outermost.
    fn change(&mut self, n: &mut usize, how: &mut dyn FnMut(&mut Pairs)) {
        match self {
            Node::Object(pairs) => {
                if *n == 0 {
                    how(pairs);
                }
                *n = n.wrapping_sub(1);
                for (_, node) in pairs {
                    node.change(n, how);
                }
            }
            Node::Array(items) => items.iter_mut().for_each(|node| node.change(n, how)),
            Node::Text(_) | Node::Raw(_) => {}
        }
    }

    /// Changes one object that `pick` (a number below its argument) chooses.
    pub(crate) fn change_one(
        &mut self,
        pick: &mut dyn FnMut(usize) -> usize,
        mut how: impl FnMut(&mut Vec<(String, Node)>, &mut dyn FnMut(usize) -> usize),
    ) {
        let mut n = pick(self.objects());
        self.change(&mut n, &mut |pairs| how(pairs, pick));
    }
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let quoted = |text: &str| serde_json::to_string(text).map_err(|_| fmt::Error);
        match self {
            Node::Object(pairs) => {
                f.write_str("{")?;
                for (n, (key, node)) in pairs.iter().enumerate() {
                    let comma = if n == 0 { "" } else { "," };
                    write!(f, "{comma}{}:{node}", quoted(key)?)?;
                }
                f.write_str("}")
            }
            Node::Array(items) => {
                f.write_str("[")?;
                for (n, node) in items.iter().enumerate() {
                    let comma = if n == 0 { "" } else { "," };
                    write!(f, "{comma}{node}")?;
                }
                f.write_str("]")
            }
            Node::Text(text) => f.write_str(&quoted(text)?),
            Node::Raw(text) => f.write_str(text),
        }
    }
}
