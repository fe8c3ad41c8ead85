//! Synthetic noise for tests, from a seed.

use crate::numbers::as_f64;

/// A generator of noise: splitmix64.
pub(super) struct Noise(u64);

impl Noise {
    pub(super) fn new(seed: usize) -> Noise {
        Noise(seed as u64)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// From 0 to below 1.
    fn uniform(&mut self) -> f64 {
        as_f64(self.next() >> 11) / as_f64(1 << 53)
    }

    /// Normal, with mean 0 and standard deviation 1, nearly: the sum of twelve.
    fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.uniform()).sum::<f64>() - 6.0
    }

    /// A positive value around `level`: log-normal.
    pub(super) fn value(&mut self, level: f64, spread: f64) -> f64 {
        level * (spread * self.normal()).exp()
    }

    /// One value for each second.
    pub(super) fn values(&mut self, seconds: usize, level: f64, spread: f64) -> Vec<f64> {
        (0..seconds).map(|_| self.value(level, spread)).collect()
    }

    /// Values of which every fifth is up to a hundred times as large.
    pub(super) fn spiky_values(&mut self, seconds: usize, level: f64) -> Vec<f64> {
        let spiky = |noise: &mut Noise| {
            let factor = if noise.uniform() < 0.2 {
                100.0 * noise.uniform()
            } else {
                1.0
            };
            noise.value(level, 0.05) * factor.max(1.0)
        };
        (0..seconds).map(|_| spiky(self)).collect()
    }
}
