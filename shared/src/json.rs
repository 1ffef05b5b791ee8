//! A JSON parser that rejects duplicate names in objects. Parsers disagree on which duplicate counts (RFC 8259, section 4;
//! for tokens RFC 7519, section 4).

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Number, Value};

/// Parses one JSON value.
///
/// # Errors
/// Invalid JSON, text after the value, a depth over 127, or a duplicate name in an object at any depth.
pub fn parse(bytes: &[u8]) -> Result<Value, serde_json::Error> {
    serde_json::from_slice(bytes).map(|Strict(value)| value)
}

struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StrictVisitor).map(Self)
    }
}

struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(Strict(value)) = seq.next_element()? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some((name, Strict(value))) = map.next_entry::<String, _>()? {
            if object.insert(name, value).is_some() {
                return Err(Error::custom("duplicate name in an object"));
            }
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_refused_the_second_time_at_any_depth() {
        for text in [
            r#"{"a":1,"a":1}"#,
            r#"{"a":{"b":[{"c":1,"c":2}]}}"#,
            r#"{"a":1,"\u0061":2}"#,
            r#"[{"a":1,"a":2}]"#,
            r#"{"x":[[{"y":{"":1,"":1}}]]}"#,
        ] {
            assert!(parse(text.as_bytes()).is_err(), "{text}");
        }
        assert!(parse(br#"[{"a":1},{"a":{"a":null}},-1,1.5,true,"a"]"#).is_ok());
    }

    #[test]
    fn what_is_no_json_is_refused() {
        let deep = "[".repeat(100_000);
        for text in [
            "",
            "{",
            "{}}",
            "{} {}",
            "{}x",
            "{},",
            "{}\0",
            "{}//",
            "/**/{}",
            "\u{feff}{}",
            "\"",
            "nul",
            "{'a':1}",
            r#"{a:"x"}"#,
            r#"{"a":"x",}"#,
            "{\"a\":\"b\nc\"}",
            r#"{"a":"\x41"}"#,
            r#"{"a":undefined}"#,
            r#"{"a":01}"#,
            r#"{"a":+1}"#,
            r#"{"a":1.}"#,
            r#"{"a":1e999}"#,
            r#"{"a":NaN}"#,
            &deep,
        ] {
            assert!(
                parse(text.as_bytes()).is_err(),
                "{}",
                text.get(..20).unwrap_or(text)
            );
        }
    }

    #[test]
    fn text_is_utf_8_without_halves_of_surrogate_pairs() {
        for string in [r"\ud800", r"\udc00", r"\ud83dA", r"\ud83d\u0041", r"\ude00\ud83d"] {
            assert!(
                parse(format!(r#"{{"a":"{string}"}}"#).as_bytes()).is_err(),
                "{string}"
            );
            assert!(
                parse(format!(r#"{{"{string}":1}}"#).as_bytes()).is_err(),
                "{string}"
            );
        }
        assert_eq!(parse(br#""\ud83d\ude00""#).unwrap(), "\u{1F600}");
        for string in [&b"\xFF"[..], b"\xC0\xAF", b"\xED\xA0\x80"] {
            let json = [b"{\"a\":\"", string, b"\"}"].concat();
            assert!(parse(&json).is_err(), "{string:x?}");
        }
        for utf_16 in [u16::to_le_bytes, u16::to_be_bytes] {
            let json: Vec<_> = r#"{"a":"x"}"#.encode_utf16().flat_map(utf_16).collect();
            assert!(parse(&json).is_err(), "{json:x?}");
        }
    }

    #[test]
    fn depth_and_numbers_have_their_limits() {
        for (open, close) in [("[", "]"), (r#"{"a":"#, "}")] {
            let nested = |depth| format!("{}1{}", open.repeat(depth), close.repeat(depth));
            assert!(parse(nested(127).as_bytes()).is_ok(), "{open}");
            for depth in [128, 200] {
                assert!(parse(nested(depth).as_bytes()).is_err(), "{depth} of {open}");
            }
        }
        let number = |zeros| format!("1{}", "0".repeat(zeros));
        assert_eq!(parse(number(300).as_bytes()).unwrap(), 1e300);
        assert!(parse(number(400).as_bytes()).is_err());
    }
}
