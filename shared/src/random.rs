//! The system's random source. What depends on it takes its values as arguments.

use aws_lc_rs::rand;

/// 128 random bits.
pub fn bits() -> [u8; 16] {
    let mut bits = [0; 16];
    // The system's source fails only where the kernel has none; to go on with guessable bits would be worse.
    #[expect(clippy::expect_used)]
    rand::fill(&mut bits).expect("the system's random source answers");
    bits
}

/// A random number below `bound`, which is not zero.
pub fn below(bound: u32) -> u32 {
    // The bias of a 128-bit number's remainder is below 2^-96.
    (u128::from_be_bytes(bits()) % u128::from(bound.max(1))) as u32
}

/// Six random bytes.
pub fn six_bytes() -> [u8; 6] {
    let [a, b, c, d, e, f, ..] = bits();
    [a, b, c, d, e, f]
}
