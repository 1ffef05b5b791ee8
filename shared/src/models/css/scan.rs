//! The first pass: characters, escapes, strings, comments and the balance of brackets.

use std::str::Chars;

use super::Refusal;

/// How deep braces, brackets, parentheses and functions nest together.
const MAX_DEPTH: usize = 16;

/// The longest name that a refusal spells out, in characters.
const MAX_SUGGESTION: usize = 100;

/// Checks the sheet and gives it back with its comments emptied.
pub fn scan(text: &str) -> Result<String, Refusal> {
    characters(text)?;
    let mut stored = String::with_capacity(text.len());
    let mut open: Vec<(char, usize)> = Vec::with_capacity(MAX_DEPTH);
    let mut chars = text.chars();
    loop {
        let rest = chars.as_str();
        let at = text.len() - rest.len();
        if let Some(comment) = rest.strip_prefix("/*") {
            let Some((_, after)) = comment.split_once("*/") else {
                return Err(Refusal::malformed(at, "this comment is not closed"));
            };
            // Left in place, empty, since it may be all that keeps two tokens apart.
            stored.push_str("/**/");
            chars = after.chars();
            continue;
        }
        let Some(c) = chars.next() else { break };
        stored.push(c);
        match c {
            '"' | '\'' => string(text, at, c, &mut chars, &mut stored)?,
            '\\' => return Err(backslash(text, at)),
            '<' => less_than(at, &chars)?,
            '(' | '[' | '{' if open.len() == MAX_DEPTH => {
                return Err(Refusal::forbidden(
                    at,
                    format!("braces, brackets and parentheses nest {MAX_DEPTH} deep at most"),
                ));
            }
            '(' => open.push((')', at)),
            '[' => open.push((']', at)),
            '{' => open.push(('}', at)),
            ')' | ']' | '}' => match open.pop() {
                Some((closer, _)) if closer == c => {}
                Some((closer, _)) => {
                    return Err(Refusal::malformed(
                        at,
                        format!("`{closer}` is expected before this `{c}`"),
                    ));
                }
                None => return Err(Refusal::malformed(at, format!("this `{c}` closes nothing"))),
            },
            _ => {}
        }
    }
    match open.pop() {
        Some((closer, at)) => Err(Refusal::malformed(
            at,
            format!("the `{closer}` to this is missing"),
        )),
        None => Ok(stored),
    }
}

/// Refuses control characters but tab, LF and CRLF, and the byte order mark, wherever they stand.
fn characters(text: &str) -> Result<(), Refusal> {
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        let allowed = match c {
            '\t' | '\n' => true,
            '\r' => chars.peek().is_some_and(|&(_, next)| next == '\n'),
            _ => !c.is_control() && c != '\u{FEFF}',
        };
        if !allowed {
            let reason = format!("the character U+{:04X} is not allowed", u32::from(c));
            return Err(Refusal::forbidden(at, reason));
        }
    }
    Ok(())
}

/// Reads a string to its closing quote.
fn string(
    text: &str,
    start: usize,
    quote: char,
    chars: &mut Chars,
    stored: &mut String,
) -> Result<(), Refusal> {
    loop {
        let at = text.len() - chars.as_str().len();
        match chars.next() {
            // A newline also ends an escape, but engines have disagreed there.
            None | Some('\r' | '\n') => {
                return Err(Refusal::malformed(start, "this string is not closed on its line"));
            }
            Some('\\') if !is_escape(chars.as_str()) => {
                let reason = "a backslash in a string must be the hexadecimal escape of a character above U+009F, \
                              as in `\"\\201C\"`";
                return Err(Refusal::forbidden(at, reason));
            }
            Some(c) => {
                stored.push(c);
                match c {
                    '<' => less_than(at, chars)?,
                    _ if c == quote => return Ok(()),
                    _ => {}
                }
            }
        }
    }
}

/// Whether the hexadecimal digits after a backslash stand for a character that an escape may write.
fn is_escape(rest: &str) -> bool {
    hexadecimal(rest).is_some_and(|(c, _)| c > '\u{9F}' && c != '\u{FEFF}')
}

/// The character of one to six hexadecimal digits, and their number.
fn hexadecimal(rest: &str) -> Option<(char, usize)> {
    let digits = rest.bytes().take(6).take_while(u8::is_ascii_hexdigit).count();
    let value = u32::from_str_radix(rest.get(..digits)?, 16).ok()?;
    Some((char::from_u32(value)?, digits))
}

/// Refuses a `<` that could begin a tag or a comment of HTML.
fn less_than(at: usize, after: &Chars) -> Result<(), Refusal> {
    match after.clone().next() {
        Some('=' | ' ' | '0'..='9') => Ok(()),
        _ => Err(Refusal::forbidden(
            at,
            "`<` must be followed by `=`, a space or a digit",
        )),
    }
}

/// The refusal of a backslash outside strings, with the way round where it escapes a class or an id.
fn backslash(text: &str, at: usize) -> Refusal {
    let reason = "a backslash is only allowed in a string";
    match way_round(text, at) {
        Some((escaped, plain)) => {
            Refusal::forbidden(at, format!("{reason}; write `{plain}` for `{escaped}`"))
        }
        None => Refusal::forbidden(at, reason),
    }
}

/// The escaped selector around the first backslash, and an attribute selector for the same elements.
fn way_round(text: &str, at: usize) -> Option<(&str, String)> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_') || !c.is_ascii();
    let before = text.get(..at)?.trim_end_matches(is_name);
    let (outside, attribute) = match before.strip_suffix('.') {
        Some(outside) => (outside, "class~"),
        None => (before.strip_suffix('#')?, "id"),
    };
    let mut name = String::new();
    let mut chars = text.get(before.len()..)?.chars();
    for _ in 0..MAX_SUGGESTION {
        let rest = chars.as_str();
        let c = match chars.next() {
            Some('\\') => match hexadecimal(chars.as_str()) {
                Some((c, digits)) => {
                    let after = chars.as_str().get(digits..)?;
                    chars = after.strip_prefix([' ', '\t', '\n']).unwrap_or(after).chars();
                    c
                }
                None => chars.next()?,
            },
            Some(c) if is_name(c) => c,
            _ => {
                let end = text.len() - rest.len();
                let escaped = text.get(outside.len()..end)?;
                return Some((escaped, format!("[{attribute}=\"{name}\"]")));
            }
        };
        // These would not pass in a string either.
        if c.is_control() || c.is_whitespace() || matches!(c, '"' | '\\' | '<') {
            return None;
        }
        name.push(c);
    }
    None
}
