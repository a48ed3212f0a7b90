//! A small builder of JSON Schema, as OpenAPI 3.1 takes it. Objects are closed: what is not named is not sent, and a
//! test validates every answer of the API's tests against these.

use crate::json::Json;

/// What a value is.
#[derive(Debug, Clone)]
pub(super) struct Schema {
    kind: Kind,
    about: &'static str,
    nullable: bool,
    example: Option<&'static str>,
}

#[derive(Debug, Clone)]
enum Kind {
    Any,
    Text { pattern: Option<&'static str> },
    Choice(Vec<&'static str>),
    Int,
    Count,
    Millis,
    Float,
    Decimal,
    Bool,
    List(Box<Schema>),
    Tuple(Box<Schema>, usize),
    Map(Box<Schema>),
    Object(Vec<Field>),
    Named(&'static str),
    OneOf(Vec<Schema>),
}

/// A member of an object.
#[derive(Debug, Clone)]
pub(super) struct Field {
    pub(super) name: &'static str,
    schema: Schema,
    required: bool,
}

/// A member that is always there.
pub(super) fn field(name: &'static str, schema: Schema) -> Field {
    Field {
        name,
        schema,
        required: true,
    }
}

/// A member that may be left out.
pub(super) fn optional(name: &'static str, schema: Schema) -> Field {
    Field {
        required: false,
        ..field(name, schema)
    }
}

const fn new(kind: Kind, about: &'static str) -> Schema {
    Schema {
        kind,
        about,
        nullable: false,
        example: None,
    }
}

/// Any JSON.
pub(super) fn anything() -> Schema {
    new(Kind::Any, "")
}

/// Text.
pub(super) fn text(about: &'static str) -> Schema {
    new(Kind::Text { pattern: None }, about)
}

/// Text of a pattern.
pub(super) fn pattern(pattern: &'static str, about: &'static str) -> Schema {
    let pattern = Some(pattern);
    new(Kind::Text { pattern }, about)
}

/// An id: digits in a string, since many readers of JSON have no whole number so large.
pub(super) fn id(about: &'static str) -> Schema {
    pattern("^[0-9]+$", about)
}

/// One of a list.
pub(super) fn choice(choices: &[&'static str], about: &'static str) -> Schema {
    new(Kind::Choice(choices.to_vec()), about)
}

/// Any whole number.
pub(super) fn int(about: &'static str) -> Schema {
    new(Kind::Int, about)
}

/// A whole number from 0.
pub(super) fn count(about: &'static str) -> Schema {
    new(Kind::Count, about)
}

/// Milliseconds since the epoch.
pub(super) fn millis(about: &'static str) -> Schema {
    new(Kind::Millis, about)
}

/// A statistic.
pub(super) fn float(about: &'static str) -> Schema {
    new(Kind::Float, about)
}

/// An exact decimal.
pub(super) fn decimal(about: &'static str) -> Schema {
    new(Kind::Decimal, about)
}

/// `true` or `false`.
pub(super) fn flag(about: &'static str) -> Schema {
    new(Kind::Bool, about)
}

/// A list.
pub(super) fn list(of: Schema, about: &'static str) -> Schema {
    new(Kind::List(Box::new(of)), about)
}

/// A list of so many.
pub(super) fn tuple(of: Schema, count: usize, about: &'static str) -> Schema {
    new(Kind::Tuple(Box::new(of), count), about)
}

/// An object with any names.
pub(super) fn map(of: Schema, about: &'static str) -> Schema {
    new(Kind::Map(Box::new(of)), about)
}

/// An object with these members and no others.
pub(super) fn object(fields: Vec<Field>, about: &'static str) -> Schema {
    new(Kind::Object(fields), about)
}

/// A schema of the document's components.
pub(super) fn named(name: &'static str) -> Schema {
    new(Kind::Named(name), "")
}

/// One of several.
pub(super) fn one_of(schemas: Vec<Schema>, about: &'static str) -> Schema {
    new(Kind::OneOf(schemas), about)
}

/// A page of a list.
pub(super) fn page(of: Schema) -> Schema {
    object(
        vec![
            field("items", list(of, "A page of the list.")),
            field(
                "next_cursor",
                text("Where the next page begins; null on the last one.").or_null(),
            ),
        ],
        "",
    )
}

impl Schema {
    /// The same, or `null`.
    pub(super) fn or_null(mut self) -> Self {
        self.nullable = true;
        self
    }

    /// With an example, which is JSON.
    pub(super) fn example(mut self, json: &'static str) -> Self {
        self.example = Some(json);
        self
    }

    /// The members of an object.
    #[cfg(test)]
    pub(super) fn fields(&self) -> Vec<&'static str> {
        match &self.kind {
            Kind::Object(fields) => fields.iter().map(|field| field.name).collect(),
            _ => Vec::new(),
        }
    }

    /// Writes it.
    pub(super) fn write(&self, j: &mut Json) {
        if self.nullable && matches!(self.kind, Kind::Named(_) | Kind::OneOf(_)) {
            j.object(|j| {
                j.key("anyOf").array(|j| {
                    let mut inner = self.clone();
                    inner.nullable = false;
                    inner.write(j);
                    j.object(|j| j.key("type").text("null"));
                });
            });
            return;
        }
        j.object(|j| {
            self.write_kind(j);
            if !self.about.is_empty() {
                j.key("description").text(self.about);
            }
            if let Some(example) = self.example {
                j.key("examples").array(|j| j.raw(example.as_bytes()));
            }
        });
    }

    fn write_kind(&self, j: &mut Json) {
        match &self.kind {
            Kind::Any => {}
            Kind::Text { pattern } => {
                self.kinds(j, &["string"]);
                if let Some(pattern) = pattern {
                    j.key("pattern").text(pattern);
                }
            }
            Kind::Choice(choices) => {
                self.kinds(j, &["string"]);
                j.key("enum").array(|j| {
                    for choice in choices {
                        j.text(choice);
                    }
                    if self.nullable {
                        j.null();
                    }
                });
            }
            Kind::Int => self.kinds(j, &["integer"]),
            Kind::Count => {
                self.kinds(j, &["integer"]);
                j.key("minimum").int(0);
            }
            Kind::Millis => {
                self.kinds(j, &["integer"]);
                j.key("format").text("int64");
                j.key("minimum").int(0);
            }
            Kind::Float => self.kinds(j, &["number"]),
            Kind::Decimal => {
                self.kinds(j, &["number", "string"]);
                j.key("format").text("decimal");
            }
            Kind::Bool => self.kinds(j, &["boolean"]),
            Kind::List(of) => {
                self.kinds(j, &["array"]);
                of.write(j.key("items"));
            }
            Kind::Tuple(of, count) => {
                self.kinds(j, &["array"]);
                of.write(j.key("items"));
                j.key("minItems").count(*count);
                j.key("maxItems").count(*count);
            }
            Kind::Map(of) => {
                self.kinds(j, &["object"]);
                of.write(j.key("additionalProperties"));
            }
            Kind::Object(fields) => {
                self.kinds(j, &["object"]);
                j.key("properties").object(|j| {
                    for field in fields {
                        field.schema.write(j.key(field.name));
                    }
                });
                if fields.iter().any(|field| field.required) {
                    j.key("required").array(|j| {
                        for field in fields.iter().filter(|field| field.required) {
                            j.text(field.name);
                        }
                    });
                }
                j.key("additionalProperties").bool(false);
            }
            Kind::Named(name) => {
                j.key("$ref").text(&format!("#/components/schemas/{name}"));
            }
            Kind::OneOf(schemas) => {
                j.key("oneOf").array(|j| {
                    for schema in schemas {
                        schema.write(j);
                    }
                });
            }
        }
    }

    fn kinds(&self, j: &mut Json, kinds: &[&str]) {
        j.key("type");
        match kinds {
            [one] if !self.nullable => j.text(one),
            _ => j.array(|j| {
                for kind in kinds {
                    j.text(kind);
                }
                if self.nullable {
                    j.text("null");
                }
            }),
        }
    }
}
