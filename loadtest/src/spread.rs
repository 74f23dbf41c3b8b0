//! Shares of something, dealt out by number: evenly from the first number on, and the same in every run.

/// What this number gets: the share that it falls into. The last one takes what the others leave.
pub(crate) fn pick<T: Copy>(shares: &[(T, f64)], number: u64) -> T {
    let ((last, _), others) = shares.split_last().expect("there is something to pick");
    let mut place = (number as f64 * GOLDEN).fract();
    for (one, share) in others {
        if place < *share {
            return *one;
        }
        place -= share;
    }
    *last
}

/// The most even stride through 0 to 1: no other number is as far from every fraction.
const GOLDEN: f64 = 0.618_033_988_749_894_9;

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether the first `numbers` get each share to within two.
    fn check(shares: [f64; 3], numbers: u64) {
        let shares = [('a', shares[0]), ('b', shares[1]), ('c', shares[2])];
        let picked: Vec<_> = (0..numbers).map(|number| pick(&shares, number)).collect();
        for (name, share) in shares {
            let count = picked.iter().filter(|one| **one == name).count();
            let off = count as f64 - share * numbers as f64;
            assert!(off.abs() <= 2.0, "{count} of {numbers} got {name}: {share}");
        }
    }

    #[test]
    fn every_beginning_is_spread_evenly() {
        for numbers in [1, 10, 100, 1_000] {
            check([0.5, 0.25, 0.25], numbers);
            check([0.7, 0.29, 0.01], numbers);
            check([0.0, 0.0, 1.0], numbers);
        }
    }

    #[test]
    fn the_last_takes_what_the_others_leave() {
        assert!((0..100).all(|number| pick(&[('a', 0.0), ('b', 0.0)], number) == 'b'));
        assert!((0..100).all(|number| pick(&[('a', 1.0), ('b', 0.0)], number) == 'a'));
        assert_eq!(pick(&[('a', 1.0)], u64::MAX), 'a');
    }
}
