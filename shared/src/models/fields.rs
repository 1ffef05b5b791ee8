//! Reads a JSON object property by property and collects all errors, not only the first.

use std::{borrow::Cow, str::FromStr};

use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::{Code, Invalid, hostname::HostPolicy};

/// A request body.
pub trait Input: Sized {
    /// Reads the properties from `fields`, which collects the errors. The value is used only if there are none.
    fn read(fields: &mut Fields, names: &HostPolicy) -> Option<Self>;
}

/// One error of a request body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct FieldError {
    /// The place in the body: a JSON pointer (RFC 6901).
    #[schema(example = "/primaryColor")]
    pub pointer: String,
    /// The stable code, for programs.
    pub code: Code,
    /// One sentence for a person.
    #[schema(example = "This must be a string.")]
    pub detail: Cow<'static, str>,
}

/// The properties of a JSON object that are not read yet. Properties that are left at the end are unknown.
#[derive(Default)]
pub struct Fields {
    rest: Map<String, Value>,
    errors: Vec<FieldError>,
}

impl Fields {
    const MAX_ERRORS: usize = 100;

    /// Reads a body of type `T`.
    ///
    /// # Errors
    /// All errors of the body, at most 100.
    pub fn parse<T: Input>(body: Value, names: &HostPolicy) -> Result<T, Vec<FieldError>> {
        let mut fields = Self::default();
        let Value::Object(rest) = body else {
            fields.reject_body(Code::WrongType, "The body must be a JSON object.");
            return Err(fields.errors);
        };
        fields.rest = rest;
        let value = T::read(&mut fields, names);
        let unknown = Self::MAX_ERRORS.saturating_sub(fields.errors.len());
        for (name, _) in std::mem::take(&mut fields.rest).into_iter().take(unknown) {
            fields.reject(&name, Code::UnknownProperty, "Remove this unknown property.");
        }
        match value {
            Some(value) if fields.errors.is_empty() => Ok(value),
            _ => Err(fields.errors),
        }
    }

    /// Adds an error of the property `name`.
    pub fn reject(&mut self, name: &str, code: Code, detail: impl Into<Cow<'static, str>>) {
        let pointer = format!("/{}", name.replace('~', "~0").replace('/', "~1"));
        self.errors.push(FieldError {
            pointer,
            code,
            detail: detail.into(),
        });
    }

    /// Adds an error of the whole body.
    pub fn reject_body(&mut self, code: Code, detail: &'static str) {
        self.errors.push(FieldError {
            pointer: String::new(),
            code,
            detail: detail.into(),
        });
    }

    /// Removes read-only properties, so that a client can send back what it received.
    pub fn ignore(&mut self, names: &[&str]) {
        for name in names {
            self.rest.remove(*name);
        }
    }

    /// Whether the property is present and not `null`.
    pub fn has(&self, name: &str) -> bool {
        self.rest.get(name).is_some_and(|value| !value.is_null())
    }

    /// A required property of a creation. `null` counts as absent.
    pub fn required<T: FromStr<Err = Invalid>>(&mut self, name: &str) -> Option<T> {
        if !self.has(name) {
            self.rest.remove(name);
            self.reject(name, Code::Required, "This property is required.");
            return None;
        }
        self.optional(name, T::from_str)
    }

    /// A property of a creation that may be absent or `null`, read by `parse`.
    pub fn optional<T>(&mut self, name: &str, parse: impl FnOnce(&str) -> Result<T, Invalid>) -> Option<T> {
        match self.rest.remove(name)? {
            Value::Null => None,
            value => self.text(name, value, parse),
        }
    }

    /// A property of a `PATCH`: it may be absent, but not `null`.
    pub fn present<T: FromStr<Err = Invalid>>(&mut self, name: &str) -> Option<T> {
        let value = self.rest.remove(name)?;
        self.text(name, value, T::from_str)
    }

    /// A property of a `PATCH`, read by `parse`: `None` if absent, `Some(None)` if `null`.
    pub fn nullable<T>(
        &mut self,
        name: &str,
        parse: impl FnOnce(&str) -> Result<T, Invalid>,
    ) -> Option<Option<T>> {
        match self.rest.remove(name)? {
            Value::Null => Some(None),
            value => self.text(name, value, parse).map(Some),
        }
    }

    /// A text setting of an update: `None` if absent, `Some(None)` if `null` or `""`.
    pub(super) fn text_setting<T: FromStr<Err = Invalid>>(&mut self, name: &str) -> Option<Option<T>> {
        match self.rest.get(name).and_then(Value::as_str) {
            Some("") => self.rest.remove(name).map(|_| None),
            _ => self.word(name),
        }
    }

    /// A setting of an update with a fixed set of words: `None` if absent, `Some(None)` if `null`.
    pub(super) fn word<T: FromStr<Err = Invalid>>(&mut self, name: &str) -> Option<Option<T>> {
        self.nullable(name, T::from_str)
    }

    /// A boolean setting of an update: `None` if absent, `Some(None)` if `null`.
    pub(super) fn switch(&mut self, name: &str) -> Option<Option<bool>> {
        match self.rest.remove(name)? {
            Value::Null => Some(None),
            Value::Bool(value) => Some(Some(value)),
            _ => {
                self.reject(name, Code::WrongType, "This must be true, false or null.");
                None
            }
        }
    }

    fn text<T>(
        &mut self,
        name: &str,
        value: Value,
        parse: impl FnOnce(&str) -> Result<T, Invalid>,
    ) -> Option<T> {
        let Value::String(text) = value else {
            self.reject(name, Code::WrongType, "This must be a string.");
            return None;
        };
        parse(&text)
            .map_err(|invalid| self.reject(name, invalid.code, invalid.detail))
            .ok()
    }
}

/// Declares settings in one place: the stored struct with its defaults, and the body that updates it.
///
/// A line is `field: Type = default, reader as Json;`, where `reader` is the method of [`Fields`] that reads the JSON type.
macro_rules! settings {
    (
        $(#[$settings_meta:meta])* struct $Settings:ident;
        $(#[$update_meta:meta])* struct $Update:ident ignores $ignored:expr;
        $($(#[$meta:meta])* $field:ident: $type:ty = $default:expr, $read:ident as $json:ident;)*
    ) => {
        $(#[$settings_meta])*
        #[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
        #[serde(rename_all = "camelCase")]
        pub struct $Settings {
            $($(#[$meta])* pub $field: $type,)*
        }

        impl Default for $Settings {
            fn default() -> Self {
                Self { $($field: $default,)* }
            }
        }

        $(#[$update_meta])*
        #[derive(Debug, Clone, utoipa::ToSchema)]
        #[schema(rename_all = "camelCase")]
        pub struct $Update {
            $($(#[$meta])* #[schema(value_type = Option<$json>)] pub $field: Option<$type>,)*
        }

        impl $crate::models::fields::Input for $Update {
            fn read(
                fields: &mut $crate::models::fields::Fields,
                _: &$crate::models::hostname::HostPolicy,
            ) -> Option<Self> {
                fields.ignore($ignored);
                $(
                    let value: Option<Option<$json>> =
                        fields.$read(&$crate::models::fields::camel_case(stringify!($field)));
                    let $field = value.map(|value| value.map_or($default, Into::into));
                )*
                Some(Self { $($field,)* })
            }
        }

        impl $Update {
            /// The settings after this update.
            pub fn apply(self, settings: $Settings) -> $Settings {
                $Settings { $($field: self.$field.unwrap_or(settings.$field),)* }
            }
        }
    };
}
pub(super) use settings;

/// The JSON name of a Rust field.
pub(super) fn camel_case(field: &str) -> String {
    let mut words = field.split('_');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |name, word| {
        let (initial, rest) = word.split_at(1);
        name + &initial.to_ascii_uppercase() + rest
    })
}
