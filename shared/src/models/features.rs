//! The operator's own features, which a portal shows or hides.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    str::FromStr,
};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The operator's features, by name, and whether each is on by default. Empty if the operator has none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FeatureDefaults(BTreeMap<String, bool>);

impl FeatureDefaults {
    /// The largest number of features.
    pub const MAX: usize = 50;

    /// Whether the operator has no features.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The names.
    pub fn names(&self) -> impl Iterator<Item = &String> {
        self.0.keys()
    }

    /// Whether this is the name of a feature.
    pub fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// The value of each feature: the own one, else the default. `None` if the operator has no features.
    pub fn resolve(&self, own: &FeatureValues) -> Option<FeatureValues> {
        let value = |(name, default): (&String, &bool)| (name.clone(), *own.0.get(name).unwrap_or(default));
        let all = self.0.iter().map(value).collect();
        (!self.is_empty()).then_some(FeatureValues(all))
    }

    /// The own value of each feature. `None` if the operator has no features.
    pub fn own(&self, own: &FeatureValues) -> Option<FeatureOverrides> {
        let value = |name: &String| (name.clone(), own.0.get(name).copied());
        let all = self.names().map(value).collect();
        (!self.is_empty()).then_some(FeatureOverrides(all))
    }
}

impl FromStr for FeatureDefaults {
    type Err = String;

    /// Reads a list such as `invoices=true,reports=false`.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut features = BTreeMap::new();
        for entry in text.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
            let (name, default) = entry.split_once('=').unwrap_or_default();
            let default = match default.trim() {
                "true" => true,
                "false" => false,
                _ => return Err(format!("{entry:?} is not a feature such as invoices=true")),
            };
            let name = name.trim();
            if !is_name(name) {
                return Err(format!(
                    "{name:?} is not a name of at most 40 letters, digits, hyphens and underscores, with a letter first"
                ));
            }
            match features.entry(name.to_owned()) {
                Entry::Vacant(new) => new.insert(default),
                Entry::Occupied(_) => return Err(format!("the feature {name} is repeated")),
            };
        }
        match features.len() {
            0 => Err("has no entry between its commas".to_owned()),
            1..=Self::MAX => Ok(Self(features)),
            _ => Err(format!("must have at most {} features", Self::MAX)),
        }
    }
}

fn is_name(text: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
    text.len() <= 40 && text.starts_with(|c: char| c.is_ascii_alphabetic()) && text.bytes().all(is_allowed)
}

/// Features by name, each on or off.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({"invoices": true, "reports": false}))]
pub struct FeatureValues(BTreeMap<String, bool>);

impl FeatureValues {
    /// Each feature of these, and where it is not set that of `inherited`.
    #[must_use]
    pub fn or(self, mut inherited: Self) -> Self {
        inherited.0.extend(self.0);
        inherited
    }

    /// Sets the features of an update. `None` unsets one.
    pub fn apply(&mut self, update: FeatureOverrides) {
        for (name, value) in update.0 {
            match value {
                Some(value) => self.0.insert(name, value),
                None => self.0.remove(&name),
            };
        }
    }
}

/// Features by name, each on, off or not set (`null`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, ToSchema)]
#[schema(example = json!({"invoices": false, "reports": null}))]
pub struct FeatureOverrides(pub(super) BTreeMap<String, Option<bool>>);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_names_and_defaults_is_read() {
        let features: FeatureDefaults = " invoices=true, Reports_2 = false ,, x-y=true,".parse().unwrap();
        let expected = [("Reports_2", false), ("invoices", true), ("x-y", true)];
        let expected = expected.map(|(name, on)| (name.to_owned(), on));
        assert_eq!(features.0, BTreeMap::from(expected));
        let many = |count: usize| (0..count).map(|n| format!("f{n}=true,")).collect::<String>();
        assert!(many(50).parse::<FeatureDefaults>().is_ok());
        assert!(
            format!("{}=true", "a".repeat(40))
                .parse::<FeatureDefaults>()
                .is_ok()
        );
        for text in [
            ",",
            "invoices",
            "invoices=",
            "invoices=yes",
            "invoices=True",
            "invoices=true=false",
            "=true",
            "1st=true",
            "_x=true",
            "a b=true",
            "a/b=true",
            "ä=true",
            "a=true,a=false",
            "a=true;b=false",
            "a=true b=false",
            &format!("{}=true", "a".repeat(41)),
            &many(51),
        ] {
            let error = text.parse::<FeatureDefaults>().unwrap_err();
            assert!(!error.contains('\n'), "{error}");
        }
        assert!(!"a\nb=true".parse::<FeatureDefaults>().unwrap_err().contains('\n'));
    }

    #[test]
    fn a_feature_that_the_operator_has_removed_is_not_shown() {
        let features: FeatureDefaults = "invoices=true,reports=false".parse().unwrap();
        let own = FeatureValues(BTreeMap::from([
            ("gone".to_owned(), true),
            ("reports".to_owned(), true),
        ]));
        let json = |value| serde_json::to_value(value).unwrap();
        assert_eq!(
            json(features.resolve(&own)),
            serde_json::json!({"invoices": true, "reports": true})
        );
        let own = serde_json::to_value(features.own(&own)).unwrap();
        assert_eq!(own, serde_json::json!({"invoices": null, "reports": true}));
        assert_eq!(
            FeatureDefaults::default().resolve(&FeatureValues::default()),
            None
        );
    }
}
