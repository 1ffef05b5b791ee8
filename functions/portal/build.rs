//! Writes the OpenAPI documents without their indentation, which is almost half of their size.

use std::{env, error::Error, fs, path::PathBuf};

fn main() -> Result<(), Box<dyn Error>> {
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("no OUT_DIR")?);
    for name in ["openapi.json", "openapi-3.0.json"] {
        println!("cargo::rerun-if-changed={name}");
        // A string in JSON has no line break.
        let text: String = fs::read_to_string(name)?.lines().map(str::trim_start).collect();
        fs::write(out.join(name), text + "\n")?;
    }
    Ok(())
}
