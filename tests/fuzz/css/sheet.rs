//! A style sheet out of parts that the API mostly accepts, which the bytes of an input select. Random text is rejected nearly always.

const RULES: &[&str] = &[
    "@media print",
    "@media (width >= 40em) and (not (hover: none))",
    "@supports (display: grid) or selector(a > b)",
    "@container card (inline-size > 30em)",
    "@layer base",
    "@scope (.card) to (.content)",
    "@starting-style",
    "@MEDIA screen",
    "&:hover",
    "& .title",
];
const SELECTORS: &[&str] = &[
    ".card",
    "#main",
    "a",
    "*",
    "*|a",
    ":root",
    "a:hover",
    "li:nth-child(2n + 1 of .x)",
    ":is(h1, h2)",
    "p::before",
    "[data-x=\"y\" i]",
    "[href^='a']",
    "a > b",
    "a + b",
    "a ~ b",
    ".\\31 0",
    ".a\\:b",
    ".é",
    "::part(x)",
    ":not(.a, .b)",
];
const PROPERTIES: &[&str] = &[
    "color",
    "background",
    "content",
    "width",
    "--x",
    "--portal-accent",
    "-webkit-mask",
    "transition",
    "grid-template-areas",
    "font",
    "filter",
    "COLOR",
    "\\63 olor",
    "_x",
    "transform",
    "cursor",
    "mask-image",
    "list-style",
    "border-image",
];
const VALUES: &[&str] = &[
    "red",
    "#123abc",
    "1px",
    "-1.5e3em",
    "50%",
    "0",
    "\"x\"",
    "'a\\22 b'",
    "var(--x, 1px)",
    "calc(1px + (2em * 3))",
    "linear-gradient(red, blue 50%)",
    "rgb(1 2 3 / 50%)",
    "!important",
    ",",
    "/",
    "1fr",
    "[a b]",
    "u+26",
    "attr(data-x)",
    "min(1px, 2px)",
    "counter(x)",
    "/* x */",
    "none",
    "translate(1px)",
    "\\72 ed",
    "cubic-bezier(0, 0, 1, 1)",
];
/// What the API must reject, or accept only in some places.
const OTHERS: &[&str] = &[
    "url(x)",
    "u\\72l(x)",
    "url (x)",
    "src('x')",
    "image-set('x' 1x)",
    "image('x')",
    "-webkit-image-set('x' 1x)",
    "cross-fade('x', red)",
    "element(#x)",
    "paint(x)",
    "expression(x)",
    "var(--portal-logo)",
    "--portal-login-bg",
    "--PORTAL-LOGO",
    "--portal-log\\6f",
    "@import 'x';",
    "@font-face{src:local(x)}",
    "@namespace x 'y';",
    "@property --x{syntax:'<url>'}",
    "behavior:x",
    "-moz-binding:x",
    "</style>",
    "<!--",
    "-->",
    ";",
    "{",
    "}",
    "(",
    ")",
    "\\",
    "\"",
    "'",
    "/*",
    "*/",
    "@x",
    "@layer a",
    "@keyframes x{from{color:red}}",
    "\0",
    "\n",
    "\\\n",
];

/// The style sheet ends with the input, and its blocks are closed.
pub fn sheet(input: &[u8]) -> String {
    let mut sheet = Sheet {
        input: input.iter().copied(),
        text: String::new(),
    };
    while sheet.input.len() > 0 {
        sheet.rule(0);
    }
    sheet.text
}

struct Sheet<I> {
    input: I,
    text: String,
}

impl<I: Iterator<Item = u8>> Sheet<I> {
    fn next(&mut self) -> usize {
        self.input.next().unwrap_or_default().into()
    }

    /// One of the parts, and sometimes also one of the others.
    fn push(&mut self, parts: &[&str]) {
        let number = self.next();
        if number == 255 {
            let other = self.next();
            self.text += OTHERS[other % OTHERS.len()];
        }
        self.text += parts[number % parts.len()];
    }

    fn rule(&mut self, depth: usize) {
        let number = self.next();
        let has_rules = number.is_multiple_of(4) && depth < 4;
        self.push(if has_rules { RULES } else { SELECTORS });
        self.text.push('{');
        for _ in 0..=number / 4 % 4 {
            match has_rules {
                true => self.rule(depth + 1),
                false => self.declaration(),
            }
        }
        self.text.push('}');
    }

    fn declaration(&mut self) {
        let number = self.next();
        self.push(PROPERTIES);
        self.text.push(':');
        for _ in 0..=number % 4 {
            self.push(VALUES);
            self.text.push(' ');
        }
        self.text.push(';');
    }
}
