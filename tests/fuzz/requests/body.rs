//! Bodies: made from the schema of an operation, and then damaged.

use arbitrary::{Result, Unstructured};
use serde_json::{Value, json};

use super::document::{alternatives, properties, resolve};

/// Texts that programs misread.
pub const ODD: &[&str] = &[
    "",
    " ",
    "\u{0}",
    "\t\n",
    "a\u{7f}b",
    "\u{feff}a",
    "\u{200b}a\u{200b}",
    "\u{202e}abc",
    "\u{2028}",
    "e\u{301}",
    "ﬁ İ ẞ ς ĳ",
    "👩‍👩‍👧‍👦",
    "\u{10ffff}",
    "xn--",
    "xn--a",
    "xn--80ak6aa92e.com",
    "bücher.example.com",
    "faß.de",
    "a.b.c.d.e.f.g",
    "portal.acme.test",
    "portal.localhost",
    "x.portal.localhost",
    "www",
    "api",
    "cname",
    "localhost",
    "127.0.0.1",
    "0x7f.1",
    "[::1]",
    "*.acme.test",
    "_dmarc.acme.test",
    "acme.test.",
    "acme。test",
    "acme.test:443",
    "https://acme.test/",
    "https://user:pass@cdn.acme.com/x.svg",
    "https://cdn.acme.com/x.svg#'()",
    "https://cdn.acme.com/a b",
    "https://[::1]/x",
    "https://127.1/x",
    "http://cdn.acme.com/x",
    "javascript:alert(1)",
    "mailto:help@acme.com",
    "mailto:a@b@c",
    "\"a b\"@acme.com",
    "a@[127.0.0.1]",
    "a..b@acme.com",
    "#fff",
    "#FFF",
    "#ggg",
    "#12345678",
    "inherit",
    "Inter, \"Segoe UI\", sans-serif",
    "url(x)",
    "de-at",
    "x-private",
    "i-klingon",
    "a{b:url(https://x)}",
    "@import 'x';",
    "a{color:red}",
    "a{color:red",
    "/*",
    "</style><script>",
    "{{7*7}}",
    "../../etc/passwd",
    "%00",
    "A#org_zeta",
    "null",
    "true",
    "cli_019aa1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2b",
    "dom_019aa1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2b",
];

/// JSON values of any type, as text.
const VALUES: &[&str] = &[
    "null",
    "true",
    "false",
    "0",
    "-0",
    "1",
    "31",
    "1.0",
    "1e0",
    "-1",
    "2147483648",
    "9223372036854775808",
    "18446744073709551616",
    "1e400",
    "-1e-400",
    "0.1",
    "1E+2",
    "\"\"",
    "\"1\"",
    "\"\\u0000\"",
    "\"\\ud800\"",
    "\"\\udc00\\ud800\"",
    "\"\\ud83d\\ude00\"",
    "[]",
    "[null]",
    "[[[[]]]]",
    "{}",
    "{\"\":null}",
    "{\"a\":{\"a\":{\"a\":1}}}",
];

/// True once in `n` times. Bytes that are zero, or absent, make the usual request.
pub fn rarely(u: &mut Unstructured, n: u8) -> Result<bool> {
    Ok(u.int_in_range(1..=n)? == n)
}

/// The body of an operation: bytes that need not be JSON.
pub fn body(
    u: &mut Unstructured,
    schema: &'static Value,
    example: &Value,
    ids: &[String],
) -> Result<Vec<u8>> {
    if u.ratio(1, 8)? {
        return Ok(example.to_string().into_bytes());
    }
    let mut text = String::new();
    write(u, schema, ids, &mut text)?;
    damage(u, text)
}

/// Writes a value of the schema, or nearly one.
fn write(u: &mut Unstructured, schema: &'static Value, ids: &[String], out: &mut String) -> Result<()> {
    let schema = resolve(schema);
    let parts: Vec<_> = alternatives(schema).collect();
    if !parts.is_empty() {
        let part = u.choose(&parts)?;
        return write(u, part, ids, out);
    }
    match u.int_in_range(0..=23)? {
        20 => *out += u.choose(VALUES)?,
        21 => *out += "null",
        22 if !ids.is_empty() => *out += &json!(u.choose(ids)?).to_string(),
        23 => *out += &json!(string(u, schema)?).to_string(),
        _ => match kind(u, schema)? {
            "object" => write_object(u, schema, ids, out)?,
            "boolean" => *out += if u.arbitrary()? { "false" } else { "true" },
            "integer" => {
                let bound = |name: &str| schema[name].as_i64().unwrap_or(1);
                let around = u.int_in_range(-1..=1)?;
                let number = *u.choose(&[bound("minimum"), bound("maximum"), 14])?;
                *out += &(number + around).to_string();
            }
            _ => *out += &json!(string(u, schema)?).to_string(),
        },
    }
    Ok(())
}

/// One of the schema's types.
fn kind(u: &mut Unstructured, schema: &'static Value) -> Result<&'static str> {
    match &schema["type"] {
        Value::Array(kinds) => Ok(u.choose(kinds)?.as_str().unwrap_or_default()),
        kind => Ok(kind.as_str().unwrap_or_default()),
    }
}

fn write_object(
    u: &mut Unstructured,
    schema: &'static Value,
    ids: &[String],
    out: &mut String,
) -> Result<()> {
    let mut separator = '{';
    let required = |name: &str| {
        schema["required"]
            .as_array()
            .is_some_and(|all| all.iter().any(|one| one == name))
    };
    for (name, schema) in properties(schema) {
        let likely = if required(name) { 15 } else { 4 };
        if !u.ratio(likely, 16)? {
            continue;
        }
        // Twice, in a few bodies.
        for _ in 0..=u8::from(rarely(u, 64)?) {
            out.push(separator);
            separator = ',';
            *out += &format!("{}:", json!(name));
            match name {
                "clientOrgId" | "redirectTo" if !ids.is_empty() && u.ratio(3, 4)? => {
                    *out += &json!(u.choose(ids)?).to_string();
                }
                _ => write(u, schema, ids, out)?,
            }
        }
    }
    let is_map = schema["additionalProperties"].is_object();
    let more = if is_map {
        u.int_in_range(0..=22)?
    } else {
        u8::from(rarely(u, 16)?)
    };
    for number in 0..more {
        let key = match u.int_in_range(0..=7)? {
            0 => (*u.choose(ODD)?).to_owned(),
            1 => "k".repeat(u.int_in_range(39..=41)?),
            2 => "agencyId".to_owned(),
            _ => format!("key-{number}"),
        };
        out.push(separator);
        separator = ',';
        *out += &format!("{}:", json!(key));
        match is_map {
            true => write(u, &schema["additionalProperties"], ids, out)?,
            false => *out += u.choose(VALUES)?,
        }
    }
    if separator == '{' {
        out.push('{');
    }
    out.push('}');
    Ok(())
}

/// A string: the schema's example, one at a limit of its length, an odd one, or any.
pub fn string(u: &mut Unstructured, schema: &Value) -> Result<String> {
    let example = || {
        schema["examples"][0]
            .as_str()
            .or(schema["enum"][0].as_str())
            .unwrap_or("acme")
            .to_owned()
    };
    Ok(match u.int_in_range(0..=9)? {
        0..=3 => example(),
        4 => {
            let limit = u.choose(&["minLength", "maxLength"])?;
            let length = schema[*limit].as_u64().unwrap_or(100) as usize;
            let length = (length + u.int_in_range(0..=2)?).saturating_sub(1);
            let letter = *u.choose(&["a", "ä", "😀", "-", "a.", "\\"])?;
            let mut text = if u.arbitrary()? { example() } else { String::new() };
            text.extend(
                letter
                    .chars()
                    .cycle()
                    .take(length.saturating_sub(text.chars().count())),
            );
            text
        }
        5 => (*u.choose(ODD)?).to_owned(),
        6 => format!("{}{}", example(), u.choose(ODD)?),
        7 => match schema["enum"].as_array() {
            Some(values) => u.choose(values)?.as_str().unwrap_or_default().to_owned(),
            None => {
                let mut text: Vec<_> = example().chars().collect();
                let at = u.choose_index(text.len())?;
                text[at] = u.arbitrary()?;
                text.into_iter().collect()
            }
        },
        8 => format!("{}{}", u.choose(ODD)?, u.choose(ODD)?),
        _ => {
            let length = u.int_in_range(0..=40)?;
            String::from_utf8_lossy(u.bytes(usize::min(length, u.len()))?).into_owned()
        }
    })
}

/// The text as bytes, which a few times are not JSON, not UTF-8, nested deep, or long.
fn damage(u: &mut Unstructured, text: String) -> Result<Vec<u8>> {
    let mut bytes = text.into_bytes();
    match u.int_in_range(0..=63)? {
        1 => drop(bytes.splice(..0, *b"\xef\xbb\xbf")),
        2 => bytes.truncate(u.choose_index(bytes.len() + 1)?),
        3 => bytes.extend_from_slice(u.choose(&[&b" "[..], b"x", b"{}", b"\0", b"\xff"])?),
        4 => {
            let depth = *u.choose(&[16, 127, 128, 129, 1000, 30_000])?;
            let open = if u.arbitrary()? { &b"["[..] } else { b"{\"a\":" };
            bytes = open.repeat(depth);
        }
        5 => {
            let (depth, at) = (*u.choose(&[16, 126, 127, 128])?, bytes.len().saturating_sub(1));
            let nested = format!(",\"metadata\":{}{}", "[".repeat(depth), "]".repeat(depth));
            bytes.splice(at..at, nested.into_bytes());
        }
        6 => {
            // A body may have 64 KiB.
            let length = 65_536 + u.int_in_range(0..=2)? - 1;
            bytes.resize(usize::max(bytes.len(), length), b' ');
        }
        7 => bytes = u.bytes(usize::min(u.len(), 64))?.to_vec(),
        8 if !bytes.is_empty() => {
            let at = u.choose_index(bytes.len())?;
            bytes[at] = u.arbitrary()?;
        }
        9 => bytes.clear(),
        10 => bytes = bytes.iter().flat_map(|byte| [*byte, 0]).collect(), // UTF-16
        11 => bytes = u.choose(VALUES)?.as_bytes().to_vec(),
        _ => {}
    }
    Ok(bytes)
}
