//! Random values from the system's source. Models take them as arguments.

use aws_lc_rs::rand;

/// 128 random bits.
pub fn bits() -> [u8; 16] {
    let mut bits = [0; 16];
    // The system's source fails only if the kernel has none. Predictable bits would be worse than a panic.
    #[expect(clippy::expect_used)]
    rand::fill(&mut bits).expect("the system has a random source");
    bits
}

/// 256 random bits.
pub fn secret() -> [u8; 32] {
    let mut secret = [0; 32];
    secret[..16].copy_from_slice(&bits());
    secret[16..].copy_from_slice(&bits());
    secret
}

/// A random number below `bound`. `bound` must not be zero.
pub fn below(bound: u32) -> u32 {
    // The modulo bias of a 128-bit number is below 2^-96.
    (u128::from_be_bytes(bits()) % u128::from(bound.max(1))) as u32
}

/// Six random bytes.
pub fn six_bytes() -> [u8; 6] {
    let [a, b, c, d, e, f, ..] = bits();
    [a, b, c, d, e, f]
}
