fn main() {
    bolero::check!().for_each(|input: &[u8]| {
        let Ok(text) = std::str::from_utf8(input) else { return };
        if let Ok(name) = shared::models::hostname::Hostname::parse(text) {
            assert_eq!(shared::models::hostname::Hostname::parse(name.as_str()).as_ref(), Ok(&name));
        }
    });
}
