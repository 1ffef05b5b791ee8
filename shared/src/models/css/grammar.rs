//! The second pass: tokens, and the structure of rules, declarations, selectors and conditions (CSS Syntax Level 3).
//!
//! It knows no property. What it cannot place is refused, where an engine would drop it and go on.

use cssparser::{ParseError, ParseErrorKind, Parser, ToCss, Token};

use super::{Refusal, allow, quoted};

type Checked = Result<(), Refusal>;

/// Checks a sheet that has passed the scan, so that blocks are closed and nest within bounds.
pub fn check(text: &str) -> Checked {
    let mut nodes = Vec::new();
    tokenize(&mut Parser::new(text), &mut nodes).map_err(|error| match error.kind {
        ParseErrorKind::Custom(refusal) => refusal,
        ParseErrorKind::Basic(kind) => Refusal::malformed(0, kind.to_string()),
    })?;
    block(&nodes, Context::Sheet)
}

/// A token, and how many of the nodes after it are inside it.
struct Node<'i> {
    token: Token<'i>,
    at: usize,
    inner: usize,
}

/// Collects the tokens without comments, and refuses those that have no place in any sheet.
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

/// Refuses a token for what it is, wherever it stands. The structure only narrows what passes here.
fn admit(token: &Token, at: usize) -> Checked {
    match token {
        Token::UnquotedUrl(_) | Token::BadUrl(_) => Err(unknown_function("url", at)),
        Token::Function(name)
            if allow::value(name).is_none()
                && allow::selector(name).is_none()
                && allow::condition(name).is_none() =>
        {
            Err(unknown_function(name, at))
        }
        Token::AtKeyword(name) if name.eq_ignore_ascii_case("charset") => Err(Refusal::forbidden(
            at,
            "`@charset` is only allowed as `@charset \"utf-8\";` at the very start",
        )),
        Token::AtKeyword(name) if allow::at_rule(name).is_none() => {
            let reason = format!(
                "{} is not allowed; these are: @{}",
                quoted(&format!("@{name}")),
                allow::at_rules()
            );
            Err(Refusal::forbidden(at, reason))
        }
        Token::CDO | Token::CDC => Err(Refusal::forbidden(at, "comments of HTML are not allowed")),
        token if token.is_parse_error() => Err(Refusal::malformed(at, "this is no token of CSS")),
        _ => Ok(()),
    }
}

fn unknown_function(name: &str, at: usize) -> Refusal {
    let shown = quoted(&format!("{name}()"));
    if allow::loads(name) {
        Refusal::forbidden(
            at,
            format!("{shown} is not allowed: a stylesheet loads nothing, images have settings of their own"),
        )
    } else {
        Refusal::forbidden(at, format!("{shown} is not among the functions that are allowed"))
    }
}

fn unexpected(node: &Node) -> Refusal {
    Refusal::malformed(
        node.at,
        format!("{} is not expected here", quoted(&node.token.to_css_string())),
    )
}

/// Nodes side by side: each comes with those inside it.
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
    /// Moves past the first sibling that is a `stop`, or to the end. Gives what is before it, and it.
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

    /// The next sibling that is no white space.
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

/// The tokens without white space, those inside others included.
fn solids<'a, 'i>(nodes: &'a [Node<'i>]) -> Vec<&'a Token<'i>> {
    nodes
        .iter()
        .map(|node| &node.token)
        .filter(|token| !is_space(token))
        .collect()
}

/// Splits `name: value`.
fn named<'a, 'i>(nodes: &'a [Node<'i>]) -> Option<(&'a str, &'a [Node<'i>])> {
    let mut rest = Siblings(nodes);
    let (name, _) = rest.solid()?;
    let Token::Ident(name) = &name.token else {
        return None;
    };
    let (colon, _) = rest.solid()?;
    (colon.token == Token::Colon).then_some((name, rest.0))
}

fn is_custom(name: &str) -> bool {
    name.starts_with("--")
}

/// What a list of rules or declarations is the content of.
#[derive(Clone, Copy, PartialEq)]
enum Context {
    /// The sheet.
    Sheet,
    /// A conditional rule or a layer, outside any style rule.
    Rules,
    /// `@scope`, which takes declarations as well as all that a sheet takes.
    Scope,
    /// A style rule.
    Style,
    /// `@keyframes`.
    Keyframes,
    /// A rule that takes declarations alone.
    Declarations,
}

impl Context {
    fn has_declarations(self) -> bool {
        matches!(self, Self::Scope | Self::Style | Self::Declarations)
    }

    /// The content of a conditional rule or a layer here.
    fn group(self) -> Self {
        if self == Self::Sheet { Self::Rules } else { self }
    }
}

fn block(nodes: &[Node], context: Context) -> Checked {
    let mut rest = Siblings(nodes);
    while let Some(first) = rest.0.first() {
        match &first.token {
            Token::WhiteSpace(_) => {
                rest.next();
            }
            Token::Semicolon if context == Context::Sheet => {
                let reason = "a `;` outside all rules spoils the rule after it";
                return Err(Refusal::malformed(first.at, reason));
            }
            Token::Semicolon => {
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

/// A declaration or a rule, told apart as CSS Syntax does: by the block in it.
fn item(at: usize, rest: &mut Siblings, context: Context) -> Checked {
    let name = named(rest.0).map(|(name, _)| name);
    if let Some(name) = name {
        runs_nothing(name, at)?;
    }
    let custom = name.is_some_and(is_custom);
    if custom && !context.has_declarations() {
        return Err(Refusal::malformed(at, "a custom property must stand in a rule"));
    }
    let (head, stop) = rest.until(|token| match token {
        Token::Semicolon => context != Context::Sheet,
        Token::CurlyBracketBlock => !custom,
        _ => false,
    });
    match stop {
        Some((node, body)) if node.token == Token::CurlyBracketBlock => match context {
            Context::Declarations => Err(Refusal::malformed(at, "only declarations can stand here")),
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
            Some(_) => Err(Refusal::malformed(at, "a declaration must stand in a rule")),
            None if context.has_declarations() => Err(Refusal::malformed(
                at,
                "this is neither a declaration, `name: value`, nor a rule, `selector { … }`",
            )),
            None => Err(Refusal::malformed(at, "the `{ … }` of this rule is missing")),
        },
    }
}

fn at_rule(name: &str, at: usize, rest: &mut Siblings, context: Context) -> Checked {
    let (prelude, stop) = rest.until(|token| matches!(token, Token::Semicolon | Token::CurlyBracketBlock));
    // Those that are not allowed went with their token.
    let name = allow::at_rule(name).unwrap_or_default();
    let fits = match context {
        Context::Keyframes | Context::Declarations => false,
        Context::Style => !matches!(name, "keyframes" | "page" | "counter-style"),
        _ => true,
    };
    if !fits {
        return Err(Refusal::malformed(at, format!("`@{name}` cannot stand here")));
    }
    let body = match stop {
        Some((node, body)) if node.token == Token::CurlyBracketBlock => body,
        _ if name == "layer" && context != Context::Style => {
            return parts(prelude).try_for_each(|part| layer(part, at));
        }
        _ => {
            return Err(Refusal::malformed(
                at,
                format!("the `{{ … }}` of `@{name}` is missing"),
            ));
        }
    };
    match name {
        "layer" if !is_blank(prelude) => layer(prelude, at)?,
        "media" | "supports" | "container" => condition(name, prelude, at)?,
        "scope" => scope(prelude, at)?,
        "page" if !is_blank(prelude) => selectors(prelude, false, at)?,
        "keyframes" | "counter-style" => match solids(prelude).as_slice() {
            [Token::Ident(_)] => {}
            [Token::QuotedString(_)] if name == "keyframes" => {}
            _ => return Err(Refusal::malformed(at, format!("`@{name}` needs one name"))),
        },
        "starting-style" if !is_blank(prelude) => {
            return Err(Refusal::malformed(
                at,
                "`@starting-style` is followed by its block",
            ));
        }
        _ => {}
    }
    let content = match name {
        "scope" => Context::Scope,
        "keyframes" => Context::Keyframes,
        "page" | "counter-style" => Context::Declarations,
        _ => context.group(),
    };
    block(body, content)
}

/// A layer's name: identifiers and points.
fn layer(nodes: &[Node], at: usize) -> Checked {
    let names = solids(nodes);
    let alternate = names.iter().enumerate().all(|(index, token)| match token {
        Token::Ident(_) => index % 2 == 0,
        token => index % 2 == 1 && **token == Token::Delim('.'),
    });
    if alternate && names.len() % 2 == 1 {
        Ok(())
    } else {
        Err(Refusal::malformed(at, "a layer's name is missing or malformed"))
    }
}

/// `(start) to (end)`, each of them optional.
fn scope(prelude: &[Node], at: usize) -> Checked {
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
            if node.token == Token::ParenthesisBlock
                && matches!(&to.token, Token::Ident(to) if to.eq_ignore_ascii_case("to")) =>
        {
            selectors(end, true, node.at)
        }
        _ => Err(Refusal::malformed(
            at,
            "`@scope` is followed by `(start)`, `to (end)`, both or neither",
        )),
    }
}

/// The condition of `@media`, `@supports` or `@container`.
fn condition(rule: &str, nodes: &[Node], at: usize) -> Checked {
    if is_blank(nodes) {
        return match rule {
            "media" => Ok(()),
            _ => Err(Refusal::malformed(at, format!("`@{rule}` needs a condition"))),
        };
    }
    if rule == "supports" && parts(nodes).count() > 1 {
        return Err(Refusal::malformed(
            at,
            "`@supports` takes one condition, without commas",
        ));
    }
    for part in parts(nodes) {
        if is_blank(part) {
            return Err(Refusal::malformed(at, "a condition is missing beside a comma"));
        }
        for (node, inside) in Siblings(part) {
            match &node.token {
                Token::WhiteSpace(_) | Token::Ident(_) => {}
                Token::ParenthesisBlock => test(rule, inside, node.at)?,
                Token::Function(name) => condition_function(rule, name, node, inside)?,
                _ => return Err(unexpected(node)),
            }
        }
    }
    Ok(())
}

fn condition_function(rule: &str, name: &str, node: &Node, inside: &[Node]) -> Checked {
    match (rule, allow::condition(name)) {
        ("supports", Some("selector")) => selectors(inside, false, node.at),
        ("supports", Some("font-format" | "font-tech")) => arguments(inside, node.at),
        ("container", Some("style" | "scroll-state")) => test(rule, inside, node.at),
        _ => Err(unexpected(node)),
    }
}

/// What stands in the parentheses of a condition: a declaration, a comparison, or conditions again.
fn test(rule: &str, nodes: &[Node], at: usize) -> Checked {
    if let Some((name, value)) = named(nodes) {
        runs_nothing(name, at)?;
        return declaration(name, value, at);
    }
    if is_blank(nodes) {
        return Err(Refusal::malformed(at, "these parentheses are empty"));
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
            Token::Function(name) if allow::condition(name).is_some() => {
                condition_function(rule, name, node, inside)?
            }
            Token::Function(name) => function(name, node, inside, Place::INSIDE)?,
            _ => return Err(unexpected(node)),
        }
    }
    Ok(())
}

/// A keyframe's selector: `from`, `to`, percentages, and percentages of a named range.
fn keyframe(nodes: &[Node], at: usize) -> Checked {
    let fits = |part: &[Node]| match solids(part).as_slice() {
        [Token::Ident(name)] => name.eq_ignore_ascii_case("from") || name.eq_ignore_ascii_case("to"),
        [Token::Percentage { .. }] | [Token::Ident(_), Token::Percentage { .. }] => true,
        _ => false,
    };
    if parts(nodes).all(fits) {
        Ok(())
    } else {
        Err(Refusal::malformed(
            at,
            "a keyframe is `from`, `to` or a percentage",
        ))
    }
}

/// Refuses the names after which an old engine runs what it reads.
fn runs_nothing(name: &str, at: usize) -> Checked {
    if allow::runs(name) {
        Err(Refusal::forbidden(
            at,
            format!("{} is not allowed", quoted(&format!("{name}:"))),
        ))
    } else {
        Ok(())
    }
}

fn declaration(name: &str, nodes: &[Node], at: usize) -> Checked {
    let custom = is_custom(name);
    let mut rest = Siblings(nodes);
    let (nodes, bang) = rest.until(|token| *token == Token::Delim('!'));
    if let Some((bang, _)) = bang {
        match solids(rest.0).as_slice() {
            [Token::Ident(word)] if word.eq_ignore_ascii_case("important") => {}
            _ => {
                return Err(Refusal::malformed(
                    bang.at,
                    "`!` must begin `!important` at the end of the value",
                ));
            }
        }
    }
    if is_blank(nodes) && !custom {
        return Err(Refusal::malformed(at, format!("{} has no value", quoted(name))));
    }
    let place = Place {
        content: name.eq_ignore_ascii_case("content"),
        level: if custom { Level::Custom } else { Level::Top },
    };
    value(nodes, place)
}

/// Where in a value.
#[derive(Clone, Copy)]
struct Place {
    /// The property is `content`.
    content: bool,
    level: Level,
}

impl Place {
    const INSIDE: Self = Self {
        content: false,
        level: Level::Inside,
    };

    fn inside(self) -> Self {
        match self.level {
            Level::Custom => self,
            _ => Self {
                level: Level::Inside,
                ..self
            },
        }
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Level {
    /// The value itself.
    Top,
    /// Inside a function or parentheses.
    Inside,
    /// Inside `if()`, whose branches end with semicolons.
    Branches,
    /// Anywhere in a custom property, whose tokens have no meaning yet.
    Custom,
}

fn value(nodes: &[Node], place: Place) -> Checked {
    use Level::{Branches, Custom, Top};
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
                if let Some(Node {
                    token: Token::Ident(name),
                    at,
                    ..
                }) = last
                {
                    runs_nothing(name, *at)?;
                }
                if place.level == Top {
                    return Err(Refusal::malformed(
                        node.at,
                        "`:` is not expected in a value: a `;` may be missing before it",
                    ));
                }
            }
            Token::Semicolon if matches!(place.level, Branches | Custom) => {}
            Token::Function(name) => function(name, node, inside, place)?,
            Token::ParenthesisBlock => value(inside, place.inside())?,
            Token::CurlyBracketBlock | Token::SquareBracketBlock if place.level == Custom => {
                value(inside, place)?
            }
            // The names of lines in a grid.
            Token::SquareBracketBlock => {
                let fits = |node: &&Node| matches!(node.token, Token::WhiteSpace(_) | Token::Ident(_));
                if let Some(node) = inside.iter().find(|node| !fits(node)) {
                    return Err(unexpected(node));
                }
            }
            Token::Delim('<' | '>' | '=') if place.level != Top => {}
            Token::Delim(_)
            | Token::IncludeMatch
            | Token::DashMatch
            | Token::PrefixMatch
            | Token::SuffixMatch
            | Token::SubstringMatch
                if place.level == Custom => {}
            _ => return Err(unexpected(node)),
        }
        last = Some(node);
    }
    Ok(())
}

fn function(name: &str, node: &Node, inside: &[Node], place: Place) -> Checked {
    match allow::value(name) {
        None => Err(Refusal::forbidden(
            node.at,
            format!("{} is no function of values", quoted(&format!("{name}()"))),
        )),
        Some("attr") => attr(node, inside, place),
        Some("if") if place.level != Level::Custom => value(
            inside,
            Place {
                level: Level::Branches,
                ..place
            },
        ),
        Some(_) => value(inside, place.inside()),
    }
}

/// `attr(name)` or `attr(name, fallback)`: with a type it could become anything, a URL included.
fn attr(node: &Node, inside: &[Node], place: Place) -> Checked {
    if !place.content {
        return Err(Refusal::forbidden(
            node.at,
            "`attr()` is only allowed in `content`",
        ));
    }
    let mut rest = Siblings(inside);
    let (name, _) = rest.until(|token| *token == Token::Comma);
    match solids(name).as_slice() {
        [Token::Ident(_)]
        | [Token::Delim('|'), Token::Ident(_)]
        | [Token::Delim('*'), Token::Delim('|'), Token::Ident(_)] => value(rest.0, place.inside()),
        _ => Err(Refusal::forbidden(
            node.at,
            "`attr()` is only allowed with the name of an attribute and without a type",
        )),
    }
}

/// A list of selectors, each of which may begin with a combinator where they are relative.
fn selectors(nodes: &[Node], relative: bool, at: usize) -> Checked {
    parts(nodes).try_for_each(|part| selector(part, relative, at))
}

/// How far a selector is.
#[derive(Clone, Copy, PartialEq)]
enum Step {
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

fn selector(nodes: &[Node], relative: bool, at: usize) -> Checked {
    let mut step = Step::Start;
    let mut rest = Siblings(nodes);
    while let Some((node, inside)) = rest.next() {
        step = match (&node.token, step) {
            (Token::WhiteSpace(_), Step::Compound | Step::Nesting) => Step::Space,
            (Token::WhiteSpace(_), step) => step,
            (Token::Delim('>' | '+' | '~'), Step::Start) if relative => Step::Combinator,
            (Token::Delim('>' | '+' | '~'), Step::Space | Step::Compound | Step::Nesting) => Step::Combinator,
            (_, Step::Compound) if matches!(node.token, Token::Ident(_) | Token::Delim('*' | '|')) => {
                return Err(unexpected(node));
            }
            (Token::Ident(name), _) => {
                name_before_colon(name, node, rest)?;
                Step::Compound
            }
            (Token::Delim('*'), _) => {
                if rest.0.first().is_some_and(|next| next.token == Token::Delim('|')) {
                    rest.next();
                    element(node, &mut rest)?;
                }
                Step::Compound
            }
            (Token::Delim('|'), _) => {
                element(node, &mut rest)?;
                Step::Compound
            }
            (Token::Delim('&'), _) => Step::Nesting,
            (Token::IDHash(_), _) => Step::Compound,
            (Token::Delim('.'), _) => match rest.next() {
                Some((
                    Node {
                        token: Token::Ident(_),
                        ..
                    },
                    _,
                )) => Step::Compound,
                _ => {
                    return Err(Refusal::malformed(
                        node.at,
                        "the name of a class is expected after `.`",
                    ));
                }
            },
            (Token::Colon, _) => {
                pseudo(node, &mut rest)?;
                Step::Compound
            }
            (Token::SquareBracketBlock, _) => {
                attribute(node, inside)?;
                Step::Compound
            }
            _ => return Err(unexpected(node)),
        };
    }
    match step {
        Step::Space | Step::Compound | Step::Nesting => Ok(()),
        _ => {
            let at = nodes.first().map_or(at, |node| node.at);
            Err(Refusal::malformed(at, "a selector is missing or incomplete"))
        }
    }
}

/// Refuses in a selector what an old engine could take for a property.
fn name_before_colon(name: &str, node: &Node, rest: Siblings) -> Checked {
    match rest.0.first() {
        Some(next) if next.token == Token::Colon => runs_nothing(name, node.at),
        _ => Ok(()),
    }
}

/// The name of an element after `|`. No namespace has a prefix, since `@namespace` is not allowed.
fn element(node: &Node, rest: &mut Siblings) -> Checked {
    match rest.next() {
        Some((
            Node {
                token: Token::Ident(_) | Token::Delim('*'),
                ..
            },
            _,
        )) => Ok(()),
        _ => Err(Refusal::malformed(
            node.at,
            "the name of an element is expected after `|`",
        )),
    }
}

/// A pseudo-class or a pseudo-element after its first colon.
fn pseudo(colon: &Node, rest: &mut Siblings) -> Checked {
    let mut next = rest.next();
    if next.is_some_and(|(node, _)| node.token == Token::Colon) {
        next = rest.next();
    }
    let missing = || Refusal::malformed(colon.at, "a name is expected right after `:`");
    let (node, inside) = next.ok_or_else(missing)?;
    let name = match &node.token {
        Token::Ident(name) => return name_before_colon(name, node, *rest),
        Token::Function(name) => name,
        _ => return Err(missing()),
    };
    match allow::selector(name) {
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
        None => Err(Refusal::forbidden(
            node.at,
            format!("{} is no function of selectors", quoted(&format!("{name}()"))),
        )),
    }
}

/// Names, strings and commas.
fn arguments(nodes: &[Node], at: usize) -> Checked {
    if is_blank(nodes) {
        return Err(Refusal::malformed(at, "an argument is missing"));
    }
    let fits = |node: &&Node| {
        matches!(
            node.token,
            Token::WhiteSpace(_)
                | Token::Ident(_)
                | Token::QuotedString(_)
                | Token::Comma
                | Token::Delim('*')
        )
    };
    match nodes.iter().find(|node| !fits(node)) {
        Some(node) => Err(unexpected(node)),
        None => Ok(()),
    }
}

/// `odd`, `even` or An+B, and the selectors after `of`.
fn nth(nodes: &[Node], at: usize) -> Checked {
    let mut rest = Siblings(nodes);
    let is_of = |token: &Token| matches!(token, Token::Ident(of) if of.eq_ignore_ascii_case("of"));
    let (formula, of) = rest.until(is_of);
    if is_blank(formula) {
        return Err(Refusal::malformed(
            at,
            "`odd`, `even` or a formula such as `2n+1` is expected",
        ));
    }
    for (node, _) in Siblings(formula) {
        let fits = match &node.token {
            Token::Ident(name) => {
                let step = name.strip_prefix('-').unwrap_or(name);
                name.eq_ignore_ascii_case("odd") || name.eq_ignore_ascii_case("even") || is_step(step)
            }
            Token::Dimension { unit, .. } => is_step(unit),
            Token::Number { .. } | Token::WhiteSpace(_) | Token::Delim('+' | '-') => true,
            _ => false,
        };
        if !fits {
            return Err(unexpected(node));
        }
    }
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
fn attribute(node: &Node, inside: &[Node]) -> Checked {
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
            let operator = matches!(
                operator,
                Token::Delim('=')
                    | Token::IncludeMatch
                    | Token::DashMatch
                    | Token::PrefixMatch
                    | Token::SuffixMatch
                    | Token::SubstringMatch
            );
            let flag = match flag {
                [] => true,
                [Token::Ident(flag)] => flag.eq_ignore_ascii_case("i") || flag.eq_ignore_ascii_case("s"),
                _ => false,
            };
            operator && flag
        }
        _ => false,
    };
    if fits {
        Ok(())
    } else {
        Err(Refusal::malformed(
            node.at,
            "this is no selector of an attribute, as in `[type=\"text\"]`",
        ))
    }
}
