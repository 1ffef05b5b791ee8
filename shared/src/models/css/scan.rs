//! The first pass: characters, escapes, strings, comments and the balance of brackets.

use std::str::Chars;

use super::{Refusal, forbidden, malformed};

/// The maximum depth of braces, brackets, parentheses and functions together.
const MAX_DEPTH: usize = 16;

/// Checks the sheet and returns it with its comments emptied.
pub fn scan(text: &str) -> Result<String, Refusal> {
    characters(text)?;
    let mut stored = String::with_capacity(text.len());
    let mut open: Vec<(char, usize)> = Vec::with_capacity(MAX_DEPTH);
    let mut chars = text.chars();
    // Inside a name that begins with `.` or `#`: a class or an id, if it is in a selector.
    let mut in_name = false;
    loop {
        let rest = chars.as_str();
        let at = text.len() - rest.len();
        if let Some(comment) = rest.strip_prefix("/*") {
            let Some((_, after)) = comment.split_once("*/") else {
                return malformed(at, "this comment is not closed");
            };
            // An empty comment stays, because it can separate two tokens.
            stored.push_str("/**/");
            chars = after.chars();
            in_name = false;
            continue;
        }
        let Some(c) = chars.next() else { break };
        stored.push(c);
        match c {
            '"' | '\'' => string(text, at, c, &mut chars, &mut stored)?,
            '\\' if in_name => escaped(at, &mut chars, &mut stored)?,
            '\\' => {
                let reason = "a backslash is only allowed in a string and in the name of a class or id";
                return forbidden(at, reason);
            }
            '<' => less_than(at, &chars)?,
            '(' | '[' | '{' if open.len() == MAX_DEPTH => {
                return forbidden(
                    at,
                    format!("braces, brackets and parentheses can be nested at most {MAX_DEPTH} deep"),
                );
            }
            '(' => open.push((')', at)),
            '[' => open.push((']', at)),
            '{' => open.push(('}', at)),
            ')' | ']' | '}' => match open.pop() {
                Some((closer, _)) if closer == c => {}
                Some((closer, _)) => {
                    return malformed(at, format!("`{closer}` is expected before this `{c}`"));
                }
                None => return malformed(at, format!("this `{c}` has no opening bracket")),
            },
            _ => {}
        }
        let continues = c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '\\') || !c.is_ascii();
        in_name = matches!(c, '.' | '#') || in_name && continues;
    }
    match open.pop() {
        Some((closer, at)) => malformed(at, format!("the `{closer}` for this bracket is missing")),
        None => Ok(stored),
    }
}

/// Rejects control characters except tab, LF and CRLF, and the byte order mark.
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
            return forbidden(at, reason);
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
            // A newline also ends an escape, but browsers have disagreed on that.
            None | Some('\r' | '\n') => {
                return malformed(start, "this string is not closed on its line");
            }
            Some('\\') if !is_escape(chars.as_str()) => {
                let reason = "a backslash in a string must be the hexadecimal escape of a line feed, `\"\\A\"`, or of a \
                              character above U+009F, as in `\"\\201C\"`";
                return forbidden(at, reason);
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

/// Whether the text after a backslash is a hexadecimal escape of an allowed character.
fn is_escape(rest: &str) -> bool {
    hexadecimal(rest).is_some_and(|(c, _)| c == '\n' || c > '\u{9F}' && c != '\u{FEFF}')
}

/// The character of one to six hexadecimal digits, and the number of digits.
fn hexadecimal(rest: &str) -> Option<(char, usize)> {
    let digits = rest.bytes().take(6).take_while(u8::is_ascii_hexdigit).count();
    let value = u32::from_str_radix(rest.get(..digits)?, 16).ok()?;
    Some((char::from_u32(value)?, digits))
}

/// Rejects a `<` that could begin an HTML tag or comment.
fn less_than(at: usize, after: &Chars) -> Result<(), Refusal> {
    match after.clone().next() {
        Some('=' | ' ' | '0'..='9') => Ok(()),
        _ => forbidden(at, "`<` must be followed by `=`, a space or a digit"),
    }
}

/// Reads the escaped character after a backslash in the name of a class or id, as Tailwind writes them: `.lg\:w-full`.
///
/// An escape cannot begin a tag, and cannot stand for a control character.
fn escaped(at: usize, chars: &mut Chars, stored: &mut String) -> Result<(), Refusal> {
    let rest = chars.as_str();
    let (c, length) = match hexadecimal(rest) {
        Some((c, digits)) => {
            let after = rest.get(digits..).unwrap_or_default();
            (
                Some(c),
                digits + usize::from(after.starts_with([' ', '\t', '\n'])),
            )
        }
        None => {
            let c = rest.chars().next();
            (c, c.map_or(0, char::len_utf8))
        }
    };
    if c.is_none_or(|c| c.is_control() || c == '<' || c == '\u{FEFF}') {
        return forbidden(at, "this character cannot be escaped");
    }
    let (character, after) = rest.split_at(length);
    stored.push_str(character);
    *chars = after.chars();
    Ok(())
}
