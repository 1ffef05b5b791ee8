//! The second pass: tokens, and the structure of rules, declarations, selectors and conditions (CSS Syntax Level 3).
//!
//! Properties are not checked. Any unexpected token is rejected, although a browser would skip it.

use cssparser::{ParseError, ParseErrorKind, Parser, ToCss, Token};

use super::{
    Code, Refusal,
    allow::{AT_RULES, CONDITIONS, IMAGE_PROPERTIES, LOADS, MARGIN_BOXES, SELECTORS, VALUES, find, runs},
    forbidden, malformed, quoted,
};

type Accepted = Result<(), Refusal>;

/// Checks a sheet that has passed the scan: its blocks are closed, and their depth is bounded.
pub fn check(text: &str) -> Accepted {
    let mut nodes = Vec::new();
    tokenize(&mut Parser::new(text), &mut nodes).map_err(|error| match error.kind {
        ParseErrorKind::Custom(refusal) => refusal,
        ParseErrorKind::Basic(kind) => Refusal {
            at: 0,
            code: Code::InvalidFormat,
            reason: kind.to_string().into(),
        },
    })?;
    block(&nodes, Context::Sheet)
}

/// A token, and the number of the following nodes that are inside it.
struct Node<'i> {
    token: Token<'i>,
    at: usize,
    inner: usize,
}

impl Node<'_> {
    /// The name, if the token is an identifier.
    fn ident(&self) -> Option<&str> {
        match &self.token {
            Token::Ident(name) => Some(name),
            _ => None,
        }
    }
}

/// Whether the token is one of these identifiers, in any case.
fn is_word(token: &Token, words: &[&str]) -> bool {
    matches!(token, Token::Ident(name) if words.iter().any(|word| name.eq_ignore_ascii_case(word)))
}

/// Whether the token is a match operator of attribute selectors with two characters, such as `^=`.
fn is_match(token: &Token) -> bool {
    use Token::{DashMatch, IncludeMatch, PrefixMatch, SubstringMatch, SuffixMatch};
    matches!(
        token,
        DashMatch | IncludeMatch | PrefixMatch | SubstringMatch | SuffixMatch
    )
}

/// Rejects the first node whose token does not fit.
fn all(nodes: &[Node], fits: impl Fn(&Token) -> bool) -> Accepted {
    match nodes.iter().find(|node| !fits(&node.token)) {
        Some(node) => unexpected(node),
        None => Ok(()),
    }
}

/// Collects the tokens without comments, and rejects those that are not allowed anywhere.
fn tokenize<'i>(input: &mut Parser<'i>, nodes: &mut Vec<Node<'i>>) -> Result<(), ParseError<Refusal>> {
    loop {
        let at = input.position().byte_index();
        let Ok(token) = input.next_including_whitespace_and_comments() else {
            return Ok(());
        };
        let token = token.clone();
        if let Token::Comment(_) = token {
            continue;
        }
        admit(&token, at).map_err(ParseError::custom)?;
        if token == Token::ParenthesisBlock {
            joins(nodes).map_err(ParseError::custom)?;
        }
        let opens = matches!(
            token,
            Token::Function(_)
                | Token::ParenthesisBlock
                | Token::SquareBracketBlock
                | Token::CurlyBracketBlock
        );
        let index = nodes.len();
        nodes.push(Node { token, at, inner: 0 });
        if opens {
            input.parse_nested_block(|inside| tokenize(inside, nodes))?;
            let inner = nodes.len() - index - 1;
            if let Some(node) = nodes.get_mut(index) {
                node.inner = inner;
            }
        }
    }
}

/// Rejects a token that is not allowed anywhere. The structure further restricts the other tokens, and the scan has rejected bad
/// strings and closing brackets without an opening one.
fn admit(token: &Token, at: usize) -> Accepted {
    match token {
        Token::UnquotedUrl(_) | Token::BadUrl(_) => unknown_function("url", at),
        Token::Function(name)
            if [VALUES, SELECTORS, CONDITIONS]
                .iter()
                .all(|list| find(list, name).is_none()) =>
        {
            unknown_function(name, at)
        }
        Token::Ident(name)
            if IMAGE_PROPERTIES
                .iter()
                .any(|image| name.eq_ignore_ascii_case(image)) =>
        {
            let reason = "is not allowed: it would tell the image's host which selector matches";
            forbidden(at, format!("{} {reason}", quoted(name)))
        }
        Token::AtKeyword(name) if name.eq_ignore_ascii_case("charset") => {
            let reason = "`@charset` is only allowed as `@charset \"utf-8\";` at the very start";
            forbidden(at, reason)
        }
        Token::AtKeyword(name) if find(AT_RULES, name).is_none() && find(MARGIN_BOXES, name).is_none() => {
            let (shown, allowed) = (quoted(&format!("@{name}")), AT_RULES.join(", @"));
            forbidden(at, format!("{shown} is not allowed; allowed are: @{allowed}"))
        }
        Token::CDO | Token::CDC => forbidden(at, "HTML comments are not allowed"),
        _ => Ok(()),
    }
}

/// Rejects `url (` and `url/**/(`: a program that removes the blank or the comment makes the function of it.
fn joins(before: &[Node]) -> Accepted {
    let last = before.iter().rfind(|node| !is_space(&node.token));
    match last.and_then(|node| Some((node.ident()?, node.at))) {
        Some((name, at)) if find(LOADS, name).is_some() => unknown_function(name, at),
        _ => Ok(()),
    }
}

fn unknown_function(name: &str, at: usize) -> Accepted {
    refuse_function(
        name,
        at,
        match find(LOADS, name) {
            Some(_) => "is not allowed: a style sheet cannot load files; use the image settings",
            None => "is not an allowed function",
        },
    )
}

fn refuse_function(name: &str, at: usize, reason: &str) -> Accepted {
    forbidden(at, format!("{} {reason}", quoted(&format!("{name}()"))))
}

fn unexpected(node: &Node) -> Accepted {
    let shown = quoted(&node.token.to_css_string());
    malformed(node.at, format!("{shown} is not expected here"))
}

/// Sibling nodes, each with the nodes inside it.
#[derive(Clone, Copy)]
struct Siblings<'a, 'i>(&'a [Node<'i>]);

type Sibling<'a, 'i> = (&'a Node<'i>, &'a [Node<'i>]);

impl<'a, 'i> Iterator for Siblings<'a, 'i> {
    type Item = Sibling<'a, 'i>;

    fn next(&mut self) -> Option<Self::Item> {
        let (node, rest) = self.0.split_first()?;
        let (inside, rest) = rest.split_at_checked(node.inner)?;
        self.0 = rest;
        Some((node, inside))
    }
}

impl<'a, 'i> Siblings<'a, 'i> {
    /// Moves past the first sibling that matches `stop`, or to the end. Returns the nodes before it, and itself.
    fn until(&mut self, stop: impl Fn(&Token) -> bool) -> (&'a [Node<'i>], Option<Sibling<'a, 'i>>) {
        let all = self.0;
        loop {
            let before = all.len() - self.0.len();
            let sibling = self.next();
            if sibling.is_none_or(|(node, _)| stop(&node.token)) {
                return (all.get(..before).unwrap_or_default(), sibling);
            }
        }
    }

    /// The next sibling that is not white space.
    fn solid(&mut self) -> Option<Sibling<'a, 'i>> {
        self.find(|(node, _)| !is_space(&node.token))
    }
}

fn is_space(token: &Token) -> bool {
    matches!(token, Token::WhiteSpace(_))
}

fn is_blank(nodes: &[Node]) -> bool {
    nodes.iter().all(|node| is_space(&node.token))
}

/// The parts between commas.
fn parts<'a, 'i>(nodes: &'a [Node<'i>]) -> impl Iterator<Item = &'a [Node<'i>]> {
    let mut rest = Some(Siblings(nodes));
    std::iter::from_fn(move || {
        let mut siblings = rest?;
        let (part, comma) = siblings.until(|token| *token == Token::Comma);
        rest = comma.map(|_| siblings);
        Some(part)
    })
}

/// The tokens without white space, including nested ones.
fn solids<'a, 'i>(nodes: &'a [Node<'i>]) -> Vec<&'a Token<'i>> {
    let tokens = nodes.iter().map(|node| &node.token);
    tokens.filter(|token| !is_space(token)).collect()
}

/// Splits `name: value`.
fn named<'a, 'i>(nodes: &'a [Node<'i>]) -> Option<(&'a str, &'a [Node<'i>])> {
    let mut rest = Siblings(nodes);
    let name = rest.solid()?.0.ident()?;
    let (colon, _) = rest.solid()?;
    (colon.token == Token::Colon).then_some((name, rest.0))
}

fn is_custom(name: &str) -> bool {
    name.starts_with("--")
}

/// The parent of a list of rules or declarations.
#[derive(Clone, Copy, PartialEq)]
enum Context {
    /// The sheet.
    Sheet,
    /// A conditional rule or a layer, outside any style rule.
    Rules,
    /// `@scope`, which contains declarations and everything that a sheet contains.
    Scope,
    /// A style rule.
    Style,
    /// `@keyframes`.
    Keyframes,
    /// `@page`, which contains declarations and margin boxes.
    Page,
    /// A rule that contains only declarations.
    Declarations,
}

impl Context {
    fn has_declarations(self) -> bool {
        matches!(self, Self::Scope | Self::Style | Self::Page | Self::Declarations)
    }

    /// The context inside a conditional rule or a layer.
    fn group(self) -> Self {
        if self == Self::Sheet { Self::Rules } else { self }
    }
}

fn block(nodes: &[Node], context: Context) -> Accepted {
    let mut rest = Siblings(nodes);
    while let Some(first) = rest.0.first() {
        match &first.token {
            Token::Semicolon if context == Context::Sheet => {
                let reason = "remove this `;`: outside rules it invalidates the next rule";
                return malformed(first.at, reason);
            }
            Token::WhiteSpace(_) | Token::Semicolon => {
                rest.next();
            }
            Token::AtKeyword(name) => {
                rest.next();
                at_rule(name, first.at, &mut rest, context)?;
            }
            _ => item(first.at, &mut rest, context)?,
        }
    }
    Ok(())
}

/// A declaration or a rule. A rule has a block (CSS Syntax).
fn item(at: usize, rest: &mut Siblings, context: Context) -> Accepted {
    let name = named(rest.0).map(|(name, _)| name);
    if let Some(name) = name {
        runs_nothing(name, at)?;
    }
    let custom = name.is_some_and(is_custom);
    if custom && !context.has_declarations() {
        return malformed(at, "a custom property must be inside a rule");
    }
    let (head, stop) = rest.until(|token| match token {
        Token::Semicolon => context != Context::Sheet,
        Token::CurlyBracketBlock => !custom,
        _ => false,
    });
    match stop {
        Some((node, body)) if node.token == Token::CurlyBracketBlock => match context {
            Context::Page | Context::Declarations => malformed(at, "only declarations are allowed here"),
            Context::Keyframes => {
                keyframe(head, at)?;
                block(body, Context::Declarations)
            }
            _ => {
                selectors(head, context.has_declarations(), at)?;
                block(body, Context::Style)
            }
        },
        _ => match named(head) {
            Some((name, value)) if context.has_declarations() => declaration(name, value, at),
            Some(_) => malformed(at, "a declaration must be inside a rule"),
            None if context.has_declarations() => malformed(
                at,
                "this is neither a declaration, `name: value`, nor a rule, `selector { … }`",
            ),
            None => malformed(at, "the `{ … }` of this rule is missing"),
        },
    }
}

fn at_rule(name: &str, at: usize, rest: &mut Siblings, context: Context) -> Accepted {
    let (prelude, stop) = rest.until(|token| matches!(token, Token::Semicolon | Token::CurlyBracketBlock));
    // `admit` has rejected the other at-rules.
    let margin_box = find(MARGIN_BOXES, name);
    let name = margin_box.or_else(|| find(AT_RULES, name)).unwrap_or_default();
    let fits = match context {
        Context::Page => margin_box.is_some(),
        _ if margin_box.is_some() => false,
        Context::Keyframes | Context::Declarations => false,
        Context::Style => !matches!(name, "keyframes" | "page" | "counter-style"),
        _ => true,
    };
    if !fits {
        return malformed(at, format!("`@{name}` is not allowed here"));
    }
    let body = match stop {
        Some((node, body)) if node.token == Token::CurlyBracketBlock => body,
        // Without the semicolon, the rule would go on in the text after the sheet.
        Some(_) if name == "layer" && context != Context::Style => {
            return parts(prelude).try_for_each(|part| layer(part, at));
        }
        None if name == "layer" => return malformed(at, "the `;` after `@layer` is missing"),
        _ => return malformed(at, format!("the `{{ … }}` of `@{name}` is missing")),
    };
    match name {
        "layer" if !is_blank(prelude) => layer(prelude, at)?,
        "media" | "supports" | "container" => condition(name, prelude, at)?,
        "scope" => scope(prelude, at)?,
        "page" if !is_blank(prelude) => selectors(prelude, false, at)?,
        "keyframes" | "counter-style" => match solids(prelude).as_slice() {
            [Token::Ident(_)] => {}
            [Token::QuotedString(_)] if name == "keyframes" => {}
            _ => return malformed(at, format!("`@{name}` needs one name")),
        },
        name if !is_blank(prelude) && (name == "starting-style" || margin_box.is_some()) => {
            return malformed(at, format!("`@{name}` is followed by its block"));
        }
        _ => {}
    }
    let content = match name {
        "scope" => Context::Scope,
        "keyframes" => Context::Keyframes,
        "page" => Context::Page,
        "counter-style" => Context::Declarations,
        _ if margin_box.is_some() => Context::Declarations,
        _ => context.group(),
    };
    block(body, content)
}

/// A layer's name: identifiers and points.
fn layer(nodes: &[Node], at: usize) -> Accepted {
    let names = solids(nodes);
    let alternate = names.iter().enumerate().all(|(index, token)| match token {
        Token::Ident(_) => index % 2 == 0,
        token => index % 2 == 1 && **token == Token::Delim('.'),
    });
    if alternate && names.len() % 2 == 1 {
        return Ok(());
    }
    malformed(at, "a layer's name is missing or malformed")
}

/// `(start) to (end)`, each of them optional.
fn scope(prelude: &[Node], at: usize) -> Accepted {
    let mut rest = Siblings(prelude);
    let mut next = rest.solid();
    if let Some((node, start)) = next
        && node.token == Token::ParenthesisBlock
    {
        selectors(start, false, node.at)?;
        next = rest.solid();
    }
    match (next, rest.solid(), rest.solid()) {
        (None, ..) => Ok(()),
        (Some((to, _)), Some((node, end)), None)
            if node.token == Token::ParenthesisBlock && is_word(&to.token, &["to"]) =>
        {
            selectors(end, true, node.at)
        }
        _ => malformed(
            at,
            "`@scope` is followed by `(start)`, `to (end)`, both or neither",
        ),
    }
}

/// The condition of `@media`, `@supports` or `@container`.
fn condition(rule: &str, nodes: &[Node], at: usize) -> Accepted {
    if is_blank(nodes) {
        return match rule {
            "media" => Ok(()),
            _ => malformed(at, format!("`@{rule}` needs a condition")),
        };
    }
    if rule == "supports" && parts(nodes).count() > 1 {
        return malformed(at, "`@supports` takes one condition, without commas");
    }
    for part in parts(nodes) {
        if is_blank(part) {
            return malformed(at, "a condition is missing before or after a comma");
        }
        for (node, inside) in Siblings(part) {
            match &node.token {
                Token::WhiteSpace(_) | Token::Ident(_) => {}
                Token::ParenthesisBlock => test(rule, inside, node.at)?,
                Token::Function(name) => condition_function(rule, name, node, inside)?,
                _ => return unexpected(node),
            }
        }
    }
    Ok(())
}

fn condition_function(rule: &str, name: &str, node: &Node, inside: &[Node]) -> Accepted {
    match (rule, find(CONDITIONS, name)) {
        ("supports", Some("selector")) => selectors(inside, false, node.at),
        ("supports", Some("font-format" | "font-tech")) => arguments(inside, node.at),
        ("container", Some("style" | "scroll-state")) => test(rule, inside, node.at),
        _ => unexpected(node),
    }
}

/// The content of a condition's parentheses: a declaration, a comparison, or nested conditions.
fn test(rule: &str, nodes: &[Node], at: usize) -> Accepted {
    if let Some((name, value)) = named(nodes) {
        runs_nothing(name, at)?;
        return declaration(name, value, at);
    }
    if is_blank(nodes) {
        return malformed(at, "these parentheses are empty");
    }
    for (node, inside) in Siblings(nodes) {
        match &node.token {
            Token::WhiteSpace(_)
            | Token::Ident(_)
            | Token::Number { .. }
            | Token::Percentage { .. }
            | Token::Dimension { .. }
            | Token::Delim('<' | '>' | '=' | '/' | '+' | '-' | '*') => {}
            Token::ParenthesisBlock => test(rule, inside, node.at)?,
            Token::Function(name) if find(CONDITIONS, name).is_some() => {
                condition_function(rule, name, node, inside)?
            }
            Token::Function(name) => function(name, node, inside, INSIDE)?,
            _ => return unexpected(node),
        }
    }
    Ok(())
}

/// A keyframe's selector: `from`, `to`, percentages, and percentages of a named range.
fn keyframe(nodes: &[Node], at: usize) -> Accepted {
    let fits = |part: &[Node]| match solids(part).as_slice() {
        [token @ Token::Ident(_)] => is_word(token, &["from", "to"]),
        [Token::Percentage { .. }] | [Token::Ident(_), Token::Percentage { .. }] => true,
        _ => false,
    };
    if parts(nodes).all(fits) {
        return Ok(());
    }
    malformed(at, "a keyframe is `from`, `to` or a percentage")
}

/// Rejects the property names whose values old browsers execute.
fn runs_nothing(name: &str, at: usize) -> Accepted {
    if runs(name) {
        forbidden(at, format!("{} is not allowed", quoted(&format!("{name}:"))))
    } else {
        Ok(())
    }
}

fn declaration(name: &str, nodes: &[Node], at: usize) -> Accepted {
    let custom = is_custom(name);
    let mut rest = Siblings(nodes);
    let (nodes, bang) = rest.until(|token| *token == Token::Delim('!'));
    if let Some((bang, _)) = bang {
        match solids(rest.0).as_slice() {
            [word] if is_word(word, &["important"]) => {}
            _ => return malformed(bang.at, "`!` must begin `!important` at the end of the value"),
        }
    }
    if is_blank(nodes) && !custom {
        return malformed(at, format!("{} has no value", quoted(name)));
    }
    let position = ValuePosition {
        content: name.eq_ignore_ascii_case("content"),
        level: if custom {
            ValueLevel::Custom
        } else {
            ValueLevel::Top
        },
    };
    value(nodes, position)
}

/// The position in a value.
#[derive(Clone, Copy)]
struct ValuePosition {
    /// Whether the property is `content`.
    content: bool,
    level: ValueLevel,
}

impl ValuePosition {
    fn inside(self) -> Self {
        match self.level {
            ValueLevel::Custom => self,
            _ => self.at(ValueLevel::Inside),
        }
    }

    fn at(self, level: ValueLevel) -> Self {
        Self { level, ..self }
    }
}

/// Inside a condition.
const INSIDE: ValuePosition = ValuePosition {
    content: false,
    level: ValueLevel::Inside,
};

#[derive(Clone, Copy, PartialEq)]
enum ValueLevel {
    /// The value itself.
    Top,
    /// Inside a function or parentheses.
    Inside,
    /// Inside `if()`, whose branches end with semicolons.
    Branches,
    /// Anywhere in a custom property, where more tokens are valid.
    Custom,
}

fn value(nodes: &[Node], position: ValuePosition) -> Accepted {
    use ValueLevel::{Branches, Custom, Top};
    let mut last: Option<&Node> = None;
    for (node, inside) in Siblings(nodes) {
        match &node.token {
            Token::WhiteSpace(_) => continue,
            Token::Ident(_)
            | Token::Hash(_)
            | Token::IDHash(_)
            | Token::QuotedString(_)
            | Token::Number { .. }
            | Token::Percentage { .. }
            | Token::Dimension { .. }
            | Token::Comma
            | Token::Delim('+' | '-' | '*' | '/') => {}
            Token::Colon => {
                if let Some((name, at)) = last.and_then(|node| Some((node.ident()?, node.at))) {
                    runs_nothing(name, at)?;
                }
                if position.level == Top {
                    let reason = "`:` is not expected in a value: a `;` may be missing before it";
                    return malformed(node.at, reason);
                }
            }
            Token::Semicolon if matches!(position.level, Branches | Custom) => {}
            Token::Function(name) => function(name, node, inside, position)?,
            // A name before them was meant as a function, which an allow-list has not seen: `expression (…)`.
            Token::ParenthesisBlock => match last {
                Some(Node {
                    token: name @ Token::Ident(_),
                    ..
                }) if !is_word(name, &["and", "not", "or"]) => {
                    return unexpected(node);
                }
                _ => value(inside, position.inside())?,
            },
            Token::CurlyBracketBlock | Token::SquareBracketBlock if position.level == Custom => {
                value(inside, position)?
            }
            // The names of lines in a grid.
            Token::SquareBracketBlock => {
                let fits = |token: &Token| matches!(token, Token::WhiteSpace(_) | Token::Ident(_));
                all(inside, fits)?;
            }
            Token::Delim('<' | '>' | '=') if position.level != Top => {}
            Token::Delim(_) if position.level == Custom => {}
            token if is_match(token) && position.level == Custom => {}
            _ => return unexpected(node),
        }
        last = Some(node);
    }
    Ok(())
}

fn function(name: &str, node: &Node, inside: &[Node], position: ValuePosition) -> Accepted {
    match find(VALUES, name) {
        None => refuse_function(name, node.at, "is not allowed in a value"),
        Some("attr") => attr(node, inside, position),
        Some("if") if position.level != ValueLevel::Custom => {
            value(inside, position.at(ValueLevel::Branches))
        }
        Some(_) => value(inside, position.inside()),
    }
}

/// `attr(name)` or `attr(name, fallback)`. With a type, its value could become a URL.
fn attr(node: &Node, inside: &[Node], position: ValuePosition) -> Accepted {
    if !position.content {
        return forbidden(node.at, "`attr()` is only allowed in `content`");
    }
    let mut rest = Siblings(inside);
    let (name, _) = rest.until(|token| *token == Token::Comma);
    match solids(name).as_slice() {
        [Token::Ident(_)]
        | [Token::Delim('|'), Token::Ident(_)]
        | [Token::Delim('*'), Token::Delim('|'), Token::Ident(_)] => value(rest.0, position.inside()),
        _ => forbidden(
            node.at,
            "`attr()` is only allowed with the name of an attribute and without a type",
        ),
    }
}

/// A list of selectors. Relative selectors may begin with a combinator.
fn selectors(nodes: &[Node], relative: bool, at: usize) -> Accepted {
    parts(nodes).try_for_each(|part| selector(part, relative, at))
}

/// The state of parsing a selector.
#[derive(Clone, Copy, PartialEq)]
enum SelectorState {
    /// Nothing yet.
    Start,
    /// After a combinator.
    Combinator,
    /// After white space, which is a combinator if no other follows.
    Space,
    /// In a compound selector after `&`, where an element's name may follow.
    Nesting,
    /// In a compound selector.
    Compound,
}

fn selector(nodes: &[Node], relative: bool, at: usize) -> Accepted {
    use SelectorState::{Combinator, Compound, Nesting, Space, Start};
    let mut state = Start;
    let mut rest = Siblings(nodes);
    while let Some((node, inside)) = rest.next() {
        state = match (&node.token, state) {
            (Token::WhiteSpace(_), Compound | Nesting) => Space,
            (Token::WhiteSpace(_), state) => state,
            (Token::Delim('>' | '+' | '~'), Start) if relative => Combinator,
            (Token::Delim('>' | '+' | '~'), Space | Compound | Nesting) => Combinator,
            (Token::Ident(_) | Token::Delim('*' | '|'), Compound) => return unexpected(node),
            (Token::Delim('&'), _) => Nesting,
            _ => {
                simple_selector(node, inside, &mut rest)?;
                Compound
            }
        };
    }
    match state {
        Space | Compound | Nesting => Ok(()),
        Start | Combinator => {
            let at = nodes.first().map_or(at, |node| node.at);
            malformed(at, "a selector is missing or incomplete")
        }
    }
}

/// An element, an id, a class, a pseudo-class, a pseudo-element or an attribute.
fn simple_selector(node: &Node, inside: &[Node], rest: &mut Siblings) -> Accepted {
    match &node.token {
        Token::Ident(name) => name_before_colon(name, node, *rest),
        Token::Delim('*') if rest.0.first().is_some_and(|next| next.token == Token::Delim('|')) => {
            rest.next();
            element(node, rest)
        }
        Token::Delim('*') | Token::IDHash(_) => Ok(()),
        Token::Delim('|') => element(node, rest),
        Token::Delim('.') => match rest.next().and_then(|(name, _)| name.ident()) {
            Some(_) => Ok(()),
            None => malformed(node.at, "the name of a class is expected after `.`"),
        },
        Token::Colon => pseudo(node, rest),
        Token::SquareBracketBlock => attribute(node, inside),
        _ => unexpected(node),
    }
}

/// Rejects a name and a colon in a selector that an old browser could read as an executable property.
fn name_before_colon(name: &str, node: &Node, rest: Siblings) -> Accepted {
    match rest.0.first() {
        Some(next) if next.token == Token::Colon => runs_nothing(name, node.at),
        _ => Ok(()),
    }
}

/// The name of an element after `|`. Namespace prefixes do not exist, because `@namespace` is not allowed.
fn element(node: &Node, rest: &mut Siblings) -> Accepted {
    match rest.next().map(|(name, _)| &name.token) {
        Some(Token::Ident(_) | Token::Delim('*')) => Ok(()),
        _ => malformed(node.at, "the name of an element is expected after `|`"),
    }
}

/// A pseudo-class or a pseudo-element after its first colon.
fn pseudo(colon: &Node, rest: &mut Siblings) -> Accepted {
    let mut next = rest.next();
    if next.is_some_and(|(node, _)| node.token == Token::Colon) {
        next = rest.next();
    }
    const MISSING: &str = "a name is expected right after `:`";
    let Some((node, inside)) = next else {
        return malformed(colon.at, MISSING);
    };
    let name = match &node.token {
        Token::Ident(name) => return name_before_colon(name, node, *rest),
        Token::Function(name) => name,
        _ => return malformed(colon.at, MISSING),
    };
    match find(SELECTORS, name) {
        // These lists may be empty.
        Some("is" | "where") if is_blank(inside) => Ok(()),
        Some("has") => selectors(inside, true, node.at),
        Some("nth-child" | "nth-last-child" | "nth-of-type" | "nth-last-of-type") => nth(inside, node.at),
        Some(
            "active-view-transition-type"
            | "dir"
            | "highlight"
            | "lang"
            | "part"
            | "picker"
            | "scroll-button"
            | "state",
        ) => arguments(inside, node.at),
        Some(_) => selectors(inside, false, node.at),
        None => refuse_function(name, node.at, "is not allowed in a selector"),
    }
}

/// Names, strings and commas.
fn arguments(nodes: &[Node], at: usize) -> Accepted {
    if is_blank(nodes) {
        return malformed(at, "an argument is missing");
    }
    all(nodes, |token| {
        use Token::{Comma, Delim, Ident, QuotedString, WhiteSpace};
        matches!(
            token,
            WhiteSpace(_) | Ident(_) | QuotedString(_) | Comma | Delim('*')
        )
    })
}

/// `odd`, `even` or An+B, and the selectors after `of`.
fn nth(nodes: &[Node], at: usize) -> Accepted {
    let mut rest = Siblings(nodes);
    let (formula, of) = rest.until(|token| is_word(token, &["of"]));
    if is_blank(formula) {
        return malformed(at, "`odd`, `even` or a formula such as `2n+1` is expected");
    }
    all(formula, |token| match token {
        Token::Ident(name) => {
            is_word(token, &["odd", "even"]) || is_step(name.strip_prefix('-').unwrap_or(name))
        }
        Token::Dimension { unit, .. } => is_step(unit),
        Token::Number { .. } | Token::WhiteSpace(_) | Token::Delim('+' | '-') => true,
        _ => false,
    })?;
    match of {
        Some(_) => selectors(rest.0, false, at),
        None => Ok(()),
    }
}

/// The `n` of An+B, to which a negative B may be attached.
fn is_step(name: &str) -> bool {
    name.strip_prefix(['n', 'N'])
        .is_some_and(|b| b.chars().all(|c| c.is_ascii_digit() || c == '-'))
}

/// `[name]`, `[name operator value]` or `[name operator value flag]`.
fn attribute(node: &Node, inside: &[Node]) -> Accepted {
    let tokens = solids(inside);
    let local = match tokens.as_slice() {
        [Token::Delim('*'), Token::Delim('|'), local @ ..] | [Token::Delim('|'), local @ ..] => local,
        local => local,
    };
    let fits = match local {
        [Token::Ident(_)] => true,
        [
            Token::Ident(_),
            operator,
            Token::Ident(_) | Token::QuotedString(_),
            flag @ ..,
        ] => {
            let flag_fits = flag.len() <= 1 && flag.iter().all(|flag| is_word(flag, &["i", "s"]));
            (**operator == Token::Delim('=') || is_match(operator)) && flag_fits
        }
        _ => false,
    };
    if fits {
        return Ok(());
    }
    let reason = "this is not an attribute selector such as `[type=\"text\"]`";
    malformed(node.at, reason)
}
