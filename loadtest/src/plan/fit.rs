//! Least squares without negative answers: a connection may cost nothing, but it never gives anything back.
//!
//! For a handful of unknowns: every subset of them is solved exactly, and the best one without a negative wins.

/// The factors by which columns of `rows` add up to `values`; each row counts by its relative error. A column of
/// zeros gets the factor 0. `None` without rows.
pub(super) fn fit<const N: usize>(rows: &[[f64; N]], values: &[f64]) -> Option<[f64; N]> {
    if rows.is_empty() || rows.len() != values.len() {
        return None;
    }
    let subsets = 1_u32..(1 << N);
    let solved = subsets.filter_map(|subset| {
        let factors = solve(rows, values, subset)?;
        let good = factors
            .iter()
            .all(|factor| *factor >= 0.0 && factor.is_finite());
        // Of equally good ones the simplest: an unknown more must earn its place.
        let price = 1.0 + PRICE_OF_UNKNOWN * f64::from(subset.count_ones());
        good.then(|| (error(rows, values, &factors) * price, factors))
    });
    let best = solved.min_by(|one, two| one.0.total_cmp(&two.0));
    Some(best.map_or([0.0; N], |(_, factors)| factors))
}

/// Weight of a row: 1 / value, so that small runs count as much as large ones.
fn weight(value: f64, largest: f64) -> f64 {
    1.0 / value
        .abs()
        .max(largest * VALUE_SHARE_MIN)
        .max(f64::MIN_POSITIVE)
}

fn error<const N: usize>(rows: &[[f64; N]], values: &[f64], factors: &[f64; N]) -> f64 {
    let largest = values.iter().copied().fold(0.0, f64::max);
    let squares = rows
        .iter()
        .zip(values)
        .map(|(row, value)| ((predict(row, factors) - value) * weight(*value, largest)).powi(2));
    squares.sum::<f64>() + f64::EPSILON
}

/// What the factors make of a row.
pub(super) fn predict<const N: usize>(row: &[f64; N], factors: &[f64; N]) -> f64 {
    row.iter().zip(factors).map(|(one, two)| one * two).sum()
}

/// The normal equations of the columns in `subset`, by Gauss with pivots.
fn solve<const N: usize>(rows: &[[f64; N]], values: &[f64], subset: u32) -> Option<[f64; N]> {
    let columns: Vec<usize> = (0..N)
        .filter(|column| subset & (1 << column) != 0)
        .collect();
    let size = columns.len();
    if size > rows.len() {
        return None;
    }
    let largest = values.iter().copied().fold(0.0, f64::max);
    // Columns differ by many powers of ten: each is scaled to 1.
    let scale: Vec<f64> = columns
        .iter()
        .map(|column| {
            rows.iter()
                .map(|row| row[*column].abs())
                .fold(0.0, f64::max)
        })
        .collect();
    if scale.contains(&0.0) {
        return None;
    }
    let mut matrix = vec![vec![0.0; size + 1]; size];
    for (row, value) in rows.iter().zip(values) {
        let weight = weight(*value, largest).powi(2);
        for one in 0..size {
            let left = row[columns[one]] / scale[one] * weight;
            for two in 0..size {
                matrix[one][two] += left * row[columns[two]] / scale[two];
            }
            matrix[one][size] += left * value;
        }
    }
    let solved = eliminate(matrix)?;
    let mut factors = [0.0; N];
    for (index, column) in columns.iter().enumerate() {
        factors[*column] = solved[index] / scale[index];
    }
    Some(factors)
}

fn eliminate(mut matrix: Vec<Vec<f64>>) -> Option<Vec<f64>> {
    let size = matrix.len();
    let largest = matrix
        .iter()
        .flatten()
        .copied()
        .fold(0.0, |one: f64, two: f64| one.max(two.abs()));
    for column in 0..size {
        let pivot = (column..size).max_by(|one, two| {
            matrix[*one][column]
                .abs()
                .total_cmp(&matrix[*two][column].abs())
        })?;
        matrix.swap(column, pivot);
        if matrix[column][column].abs() < largest * SINGULAR {
            return None;
        }
        let head = matrix[column].clone();
        for (index, row) in matrix.iter_mut().enumerate() {
            if index != column {
                let factor = row[column] / head[column];
                row.iter_mut()
                    .zip(&head)
                    .for_each(|(cell, above)| *cell -= factor * above);
            }
        }
    }
    Some(
        (0..size)
            .map(|row| matrix[row][size] / matrix[row][row])
            .collect(),
    )
}

/// Below this share of the largest value, a row counts as if it were that large.
const VALUE_SHARE_MIN: f64 = 0.02;
const PRICE_OF_UNKNOWN: f64 = 0.02;
const SINGULAR: f64 = 1e-9;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_factors_are_found_again() {
        let rows = [
            [10.0, 1.0, 5.0],
            [20.0, 8.0, 1.0],
            [5.0, 0.0, 9.0],
            [7.0, 7.0, 7.0],
        ];
        let values = rows.map(|row| predict(&row, &[2.0, 0.5, 0.001]));
        let found = fit(&rows, &values).unwrap();
        for (found, factor) in found.iter().zip([2.0, 0.5, 0.001]) {
            assert!((found - factor).abs() < 1e-6, "{found} {factor}");
        }
    }

    #[test]
    fn no_factor_is_negative() {
        let rows = [[1.0, 1.0], [2.0, 5.0], [3.0, 9.0]];
        let found = fit(&rows, &[10.0, 12.0, 14.0]).unwrap();
        assert!(found.iter().all(|factor| *factor >= 0.0), "{found:?}");
    }

    #[test]
    fn what_never_varied_costs_nothing() {
        let found = fit(&[[1.0, 0.0], [2.0, 0.0]], &[3.0, 6.0]).unwrap();
        assert!(
            (found[0] - 3.0).abs() < 1e-9 && found[1] == 0.0,
            "{found:?}"
        );
        assert_eq!(fit::<2>(&[], &[]), None);
    }

    #[test]
    fn one_run_is_explained_by_one_unknown() {
        let found = fit(&[[4.0, 100.0]], &[8.0]).unwrap();
        assert_eq!(
            found.iter().filter(|factor| **factor > 0.0).count(),
            1,
            "{found:?}"
        );
    }
}
