//! The log of this process: every line is checked for secrets, and a test can collect its own lines.

use std::{cell::RefCell, io, rc::Rc, sync::Once};

use local::environment::SECRET;
use serde_json::Value;
use shared::telemetry::{self, FunctionVersion};
use tracing_subscriber::{layer::SubscriberExt, registry, util::SubscriberInitExt};

/// What tests put into tokens, bodies and headers, and what every token begins with.
const MARKERS: [&str; 3] = ["planted-", "eyJ", SECRET];

/// Crates that are in no function: their lines do not count.
const EMULATORS: [&str; 2] = ["\"target\":\"dynoxide", "\"target\":\"hickory_server"];

/// Checks every line that this process logs from now on, at any level: a marker in it fails the test that logged it.
pub fn watch() {
    static WATCHING: Once = Once::new();
    WATCHING.call_once(|| {
        let function = FunctionVersion {
            name: "api".to_owned(),
            version: None,
        };
        let layer = telemetry::layer("trace", function, || LineWriter);
        registry().with(layer).init();
    });
}

thread_local! {
    static LINES: RefCell<Option<Lines>> = const { RefCell::new(None) };
}

struct LineWriter;

impl io::Write for LineWriter {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(line);
        if EMULATORS.iter().any(|crates| text.contains(crates)) {
            return Ok(line.len());
        }
        let leak = MARKERS.iter().find(|marker| text.contains(**marker));
        assert!(leak.is_none(), "a log line has {leak:?} in it: {text}");
        LINES.with_borrow(|lines| {
            if let Some(Lines(lines)) = lines {
                lines.borrow_mut().push_str(&text);
            }
        });
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Log lines, as a function writes them to its standard output.
#[derive(Clone, Default)]
pub struct Lines(Rc<RefCell<String>>);

impl Lines {
    /// Collects what this thread logs at any level, until [`Self::end`].
    pub fn collect() -> Self {
        watch();
        let lines = Self::default();
        LINES.set(Some(lines.clone()));
        lines
    }

    /// The lines. Each must be JSON and have what Lambda looks for.
    pub fn end(&self) -> Vec<Value> {
        LINES.take();
        let text = self.0.borrow();
        let lines: Vec<Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        for line in &lines {
            for name in ["timestamp", "level", "message"] {
                assert!(line[name].is_string(), "{line}");
            }
        }
        lines
    }
}

/// The lines as one text.
pub fn text(lines: &[Value]) -> String {
    lines.iter().map(|line| format!("{line}\n")).collect()
}
