//! Reads a JSON object property by property and keeps every fault, not the first alone.

use std::{borrow::Cow, str::FromStr};

use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::{Code, Invalid, hostname::HostPolicy};

/// A body that a client sends.
pub trait Input: Sized {
    /// Reads what it needs; what is missing or wrong is noted in `fields`, and the value is then not used.
    fn read(fields: &mut Fields, names: &HostPolicy) -> Option<Self>;
}

/// One fault of a body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Fault {
    /// Where: a JSON pointer (RFC 6901) into the body.
    #[schema(example = "/primaryColor")]
    pub pointer: String,
    /// What.
    pub code: Code,
    /// One sentence for a person.
    #[schema(example = "This must be a string.")]
    pub detail: Cow<'static, str>,
}

/// What an update says of one setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Change<T> {
    /// Absent: unchanged.
    #[default]
    Keep,
    /// `null` or `""`: cleared.
    Clear,
    /// A new value.
    Set(T),
}

impl<T> Change<T> {
    /// Carries the change out on a setting that can be unset.
    pub fn apply(self, setting: &mut Option<T>) {
        match self {
            Self::Keep => {}
            Self::Clear => *setting = None,
            Self::Set(value) => *setting = Some(value),
        }
    }

    /// Carries the change out on a setting that falls back to a default.
    pub fn apply_or(self, setting: &mut T, default: T) {
        match self {
            Self::Keep => {}
            Self::Clear => *setting = default,
            Self::Set(value) => *setting = value,
        }
    }
}

/// A JSON object, taken apart. Each property that is read is taken out; what is left at the end is unknown.
pub struct Fields {
    rest: Map<String, Value>,
    faults: Vec<Fault>,
}

impl Fields {
    /// More faults than this in one body are not listed.
    const MAX_FAULTS: usize = 100;

    /// Reads a body of type `T`.
    ///
    /// # Errors
    /// Every fault of the body, a hundred at most.
    pub fn parse<T: Input>(body: Value, names: &HostPolicy) -> Result<T, Vec<Fault>> {
        let Value::Object(rest) = body else {
            return Err(vec![Fault {
                pointer: String::new(),
                code: Code::WrongType,
                detail: "The body must be a JSON object.".into(),
            }]);
        };
        let mut fields = Self {
            rest,
            faults: Vec::new(),
        };
        let value = T::read(&mut fields, names);
        for (name, _) in std::mem::take(&mut fields.rest) {
            if fields.faults.len() >= Self::MAX_FAULTS {
                break;
            }
            fields.fault(&name, Code::UnknownProperty, "There is no such property.");
        }
        match value {
            Some(value) if fields.faults.is_empty() => Ok(value),
            _ => Err(fields.faults),
        }
    }

    /// Notes a fault of the property `name`.
    pub fn fault(&mut self, name: &str, code: Code, detail: impl Into<Cow<'static, str>>) {
        let pointer = format!("/{}", name.replace('~', "~0").replace('/', "~1"));
        self.faults.push(Fault {
            pointer,
            code,
            detail: detail.into(),
        });
    }

    /// Notes a fault of the body as a whole.
    pub fn fault_of_all(&mut self, code: Code, detail: &'static str) {
        self.faults.push(Fault {
            pointer: String::new(),
            code,
            detail: detail.into(),
        });
    }

    /// Drops read-only properties, so that a client can send back what it got.
    pub fn ignore(&mut self, names: &[&str]) {
        for name in names {
            self.rest.remove(*name);
        }
    }

    /// Whether the property is there and not `null`.
    pub fn has(&self, name: &str) -> bool {
        self.rest.get(name).is_some_and(|value| !value.is_null())
    }

    /// A property of a creation that must be there; `null` is absent.
    pub fn required<T: FromStr<Err = Invalid>>(&mut self, name: &str) -> Option<T> {
        if !self.has(name) {
            self.rest.remove(name);
            self.fault(name, Code::Required, "This property is required.");
            return None;
        }
        self.optional(name, T::from_str)
    }

    /// A property of a creation that may be absent or `null`, read by `parse`.
    pub fn optional<T>(&mut self, name: &str, parse: impl FnOnce(&str) -> Result<T, Invalid>) -> Option<T> {
        match self.rest.remove(name)? {
            Value::Null => None,
            value => self.text(name, &value, parse),
        }
    }

    /// A property of a `PATCH`: it may be absent, but not `null`.
    pub fn present<T: FromStr<Err = Invalid>>(&mut self, name: &str) -> Option<T> {
        let value = self.rest.remove(name)?;
        self.text(name, &value, T::from_str)
    }

    /// A setting in text that may be kept, cleared (by `""` as well) or set.
    pub fn change<T: FromStr<Err = Invalid>>(&mut self, name: &str) -> Change<T> {
        if let Some(value) = self.rest.get_mut(name)
            && value.as_str() == Some("")
        {
            *value = Value::Null;
        }
        self.choice(name)
    }

    /// A setting of a few words that may be kept, cleared or set; `""` is none of the words.
    pub fn choice<T: FromStr<Err = Invalid>>(&mut self, name: &str) -> Change<T> {
        match self.rest.remove(name) {
            None => Change::Keep,
            Some(Value::Null) => Change::Clear,
            Some(value) => match self.text(name, &value, T::from_str) {
                Some(value) => Change::Set(value),
                None => Change::Keep,
            },
        }
    }

    /// A switch that may be kept, cleared or set.
    pub fn change_bool(&mut self, name: &str) -> Change<bool> {
        match self.rest.remove(name) {
            None => Change::Keep,
            Some(Value::Null) => Change::Clear,
            Some(Value::Bool(value)) => Change::Set(value),
            Some(_) => {
                self.fault(name, Code::WrongType, "This must be true, false or null.");
                Change::Keep
            }
        }
    }

    fn text<T>(
        &mut self,
        name: &str,
        value: &Value,
        parse: impl FnOnce(&str) -> Result<T, Invalid>,
    ) -> Option<T> {
        let Value::String(text) = value else {
            self.fault(name, Code::WrongType, "This must be a string.");
            return None;
        };
        parse(text)
            .map_err(|invalid| self.fault(name, invalid.code, invalid.detail))
            .ok()
    }
}
