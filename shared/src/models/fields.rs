//! Reads a JSON object property by property and collects all errors, not only the first.

use std::{borrow::Cow, collections::BTreeMap, str::FromStr};

use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::{
    Code, Invalid,
    features::{FeatureDefaults, FeatureOverrides},
    hostname::HostPolicy,
    reject,
};

/// A request body.
pub trait Input: Sized {
    /// Reads the properties from `fields`, which collects the errors. The value is used only if there are none.
    fn read(fields: &mut Fields, policy: Policy<'_>) -> Option<Self>;
}

/// What the operator configures and the valid values depend on.
#[derive(Debug, Clone, Copy)]
pub struct Policy<'a> {
    /// The rules for host names.
    pub names: &'a HostPolicy,
    /// The operator's features.
    pub features: &'a FeatureDefaults,
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

impl FieldError {
    /// The error of the value at `pointer`.
    pub fn new(pointer: impl Into<String>, code: Code, detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            pointer: pointer.into(),
            code,
            detail: detail.into(),
        }
    }
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
    pub fn parse<T: Input>(body: Value, policy: Policy<'_>) -> Result<T, Vec<FieldError>> {
        let mut fields = Self::default();
        let Value::Object(rest) = body else {
            fields.reject_body(Code::WrongType, "The body must be a JSON object.");
            return Err(fields.errors);
        };
        fields.rest = rest;
        let value = T::read(&mut fields, policy);
        for name in std::mem::take(&mut fields.rest).keys() {
            fields.reject(name, Code::UnknownProperty, UNKNOWN);
        }
        match value {
            Some(value) if fields.errors.is_empty() => Ok(value),
            _ => Err(fields.errors),
        }
    }

    /// Adds an error of the property `name`.
    pub fn reject(&mut self, name: &str, code: Code, detail: impl Into<Cow<'static, str>>) {
        self.add(FieldError::new(pointer([name]), code, detail));
    }

    /// Adds an error of the whole body.
    pub fn reject_body(&mut self, code: Code, detail: &'static str) {
        self.add(FieldError::new("", code, detail));
    }

    pub(super) fn add(&mut self, error: FieldError) {
        if self.errors.len() < Self::MAX_ERRORS {
            self.errors.push(error);
        }
    }

    /// Removes read-only properties, so that a client can send back what it received.
    pub fn ignore(&mut self, names: &[&str]) {
        for name in names {
            self.rest.remove(*name);
        }
    }

    /// Removes a property, for a reader of its own.
    pub fn take(&mut self, name: &str) -> Option<Value> {
        self.rest.remove(name)
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

    /// A boolean of a `PATCH`: it may be absent, but not `null`.
    pub fn present_boolean(&mut self, name: &str) -> Option<bool> {
        let value = self.rest.remove(name)?;
        if !value.is_boolean() {
            self.reject(name, Code::WrongType, "This must be true or false.");
        }
        value.as_bool()
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
            _ => self.nullable_text(name),
        }
    }

    /// A text of an update that `null` clears, and `""` does not: `None` if absent, `Some(None)` if `null`.
    pub(super) fn nullable_text<T: FromStr<Err = Invalid>>(&mut self, name: &str) -> Option<Option<T>> {
        self.nullable(name, T::from_str)
    }

    /// A boolean setting of an update: `None` if absent, `Some(None)` if `null`.
    pub(super) fn nullable_boolean(&mut self, name: &str) -> Option<Option<bool>> {
        match self.rest.remove(name)? {
            Value::Null => Some(None),
            value => boolean(&value)
                .map_err(|invalid| self.reject(name, invalid.code, invalid.detail))
                .map(Some)
                .ok(),
        }
    }

    /// The pairs of an object that may be absent, but not `null`. A pair is `None` if its value is `null`. Errors point at the
    /// pair.
    pub fn pairs<K, V>(&mut self, name: &str) -> Option<BTreeMap<K, Option<V>>>
    where
        K: FromStr<Err = Invalid> + Ord,
        V: FromStr<Err = Invalid>,
    {
        self.nullable_pairs(name, K::from_str, |value| text(value, V::from_str))
    }

    /// The operator's features in an update. If the operator has none, the property is unknown.
    pub(super) fn features(&mut self, name: &str, known: &FeatureDefaults) -> FeatureOverrides {
        if known.is_empty() {
            return FeatureOverrides::default();
        }
        let feature = |feature: &str| match known.has(feature) {
            true => Ok(feature.to_owned()),
            false => reject(Code::UnknownProperty, UNKNOWN),
        };
        let pairs = self.nullable_pairs(name, feature, |value| boolean(&value));
        FeatureOverrides(pairs.unwrap_or_default())
    }

    fn nullable_pairs<K: Ord, V>(
        &mut self,
        name: &str,
        parse_key: impl Fn(&str) -> Result<K, Invalid>,
        parse_value: impl Fn(Value) -> Result<V, Invalid>,
    ) -> Option<BTreeMap<K, Option<V>>> {
        let Value::Object(pairs) = self.rest.remove(name)? else {
            self.reject(name, Code::WrongType, "This must be an object.");
            return None;
        };
        let mut read = BTreeMap::new();
        for (key, value) in pairs {
            let pair = parse_key(&key).and_then(|key| match value {
                Value::Null => Ok((key, None)),
                value => Ok((key, Some(parse_value(value)?))),
            });
            match pair {
                Ok((key, value)) => drop(read.insert(key, value)),
                Err(invalid) => self.add(FieldError::new(
                    pointer([name, &key]),
                    invalid.code,
                    invalid.detail,
                )),
            }
        }
        Some(read)
    }

    fn text<T>(
        &mut self,
        name: &str,
        value: Value,
        parse: impl FnOnce(&str) -> Result<T, Invalid>,
    ) -> Option<T> {
        text(value, parse)
            .map_err(|invalid| self.reject(name, invalid.code, invalid.detail))
            .ok()
    }
}

const UNKNOWN: &str = "Remove this unknown property.";

/// A string, read by `parse`.
fn text<T>(value: Value, parse: impl FnOnce(&str) -> Result<T, Invalid>) -> Result<T, Invalid> {
    match value {
        Value::String(text) => parse(&text),
        _ => reject(Code::WrongType, "This must be a string."),
    }
}

fn boolean(value: &Value) -> Result<bool, Invalid> {
    match value {
        Value::Bool(value) => Ok(*value),
        _ => reject(Code::WrongType, "This must be true, false or null."),
    }
}

/// The JSON pointer to a property, through the objects that contain it.
fn pointer<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let escaped = names
        .into_iter()
        .map(|name| name.replace('~', "~0").replace('/', "~1"));
    escaped.fold(String::new(), |pointer, name| pointer + "/" + &name)
}

/// Declares settings: one line for each. The lines give all structs that have the settings, and what converts one into another.
///
/// - `own`: the values that an agency or a client has set, as they are stored. `None` means that the setting is not set.
/// - `update`: the body of a `PUT`. `reader` is the method of [`Fields`] that reads the setting. The body also has the properties
///   in `with { … }`, which the method of the same name reads by the [`Policy`].
/// - `public`: the own values of the settings in `public { … }`. Those in `hidden { … }` are not shown before login.
/// - `resolved`: a value for each setting. The lines have the defaults: `field: Type = default, reader;`.
macro_rules! settings {
    (
        $(#[$own_meta:meta])* own $Own:ident;
        $(#[$update_meta:meta])* update $Update:ident ignores $ignored:expr;
        $(#[$public_meta:meta])* public $Public:ident;
        public { $($(#[$meta:meta])* $field:ident: $type:ident, $read:ident;)* }
        hidden { $($hidden:tt)* }
    ) => {
        settings! {
            @own $(#[$own_meta])* $Own, $(#[$update_meta])* $Update ignores $ignored, with {};
            $($(#[$meta])* $field: $type, $read;)* $($hidden)*
        }

        $(#[$public_meta])*
        #[derive(Debug, Clone, PartialEq, serde::Serialize, utoipa::ToSchema)]
        #[serde(rename_all = "camelCase")]
        pub struct $Public {
            $($(#[$meta])* pub $field: Option<$type>,)*
        }

        impl From<$Own> for $Public {
            fn from(own: $Own) -> Self {
                Self { $($field: own.$field,)* }
            }
        }
    };
    (
        $(#[$own_meta:meta])* own $Own:ident;
        $(#[$update_meta:meta])* update $Update:ident ignores $ignored:expr, with { $($other:tt)* };
        $(#[$resolved_meta:meta])* resolved $Resolved:ident;
        $($(#[$meta:meta])* $field:ident: $type:ident = $default:expr, $read:ident;)*
    ) => {
        settings! {
            @own $(#[$own_meta])* $Own, $(#[$update_meta])* $Update ignores $ignored, with { $($other)* };
            $($(#[$meta])* $field: $type, $read;)*
        }

        $(#[$resolved_meta])*
        #[derive(Debug, Clone, PartialEq, serde::Serialize, utoipa::ToSchema)]
        #[serde(rename_all = "camelCase")]
        pub struct $Resolved {
            $($(#[$meta])* pub $field: $type,)*
        }

        impl From<$Own> for $Resolved {
            fn from(own: $Own) -> Self {
                Self { $($field: own.$field.unwrap_or($default),)* }
            }
        }
    };
    (
        @own $(#[$own_meta:meta])* $Own:ident, $(#[$update_meta:meta])* $Update:ident ignores $ignored:expr,
            with { $($(#[$other_meta:meta])* $other:ident: $other_type:ty;)* };
        $($(#[$meta:meta])* $field:ident: $type:ident, $read:ident;)*
    ) => {
        $(#[$own_meta])*
        #[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
        #[serde(rename_all = "camelCase")]
        pub struct $Own {
            $($(#[$meta])* pub $field: Option<$type>,)*
        }

        impl $Own {
            /// Each setting, and where it is not set that of `inherited`.
            #[must_use]
            pub fn or(self, inherited: Self) -> Self {
                Self { $($field: self.$field.or(inherited.$field),)* }
            }
        }

        $(#[$update_meta])*
        #[derive(Debug, Clone, utoipa::ToSchema)]
        #[schema(rename_all = "camelCase")]
        pub struct $Update {
            $($(#[$meta])* #[schema(value_type = Option<$type>)] pub $field: Option<Option<$type>>,)*
            $($(#[$other_meta])* pub $other: $other_type,)*
        }

        impl $crate::models::fields::Input for $Update {
            fn read(
                fields: &mut $crate::models::fields::Fields,
                policy: $crate::models::fields::Policy<'_>,
            ) -> Option<Self> {
                let _ = policy;
                fields.ignore($ignored);
                Some(Self {
                    $($field: fields.$read(&$crate::models::fields::camel_case(stringify!($field))),)*
                    $($other: fields.$other(stringify!($other), policy.$other),)*
                })
            }
        }

        impl $Update {
            /// The settings after this update.
            pub fn apply(self, own: $Own) -> $Own {
                $Own { $($field: self.$field.unwrap_or(own.$field),)* }
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
