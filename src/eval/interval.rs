//! Means with 95 % intervals: over many episodes by the normal law, over a few seeds by Student's t.

use serde::Serialize;

/// Two-sided 95 % point of the normal law.
const NORMAL: f64 = 1.96;

/// Two-sided 95 % points of Student's t for 1..=30 degrees of freedom (any table of the distribution).
const STUDENT: [f64; 30] = [
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131, 2.120,
    2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
];

/// A mean and how well it is known. Of a single value only the mean is.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Interval {
    /// Mean of the values.
    pub mean: f64,
    /// Their standard deviation (n - 1).
    pub std: Option<f64>,
    /// Half the width of the 95 % interval of the mean.
    pub ci95: Option<f64>,
}

impl Interval {
    /// `1.96 s / sqrt(n)`: for hundreds of episodes, as few-shot results are reported. `values` has at least one.
    pub fn of_many(values: &[f64]) -> Self {
        Self::with(values, NORMAL)
    }

    /// `t(n - 1) s / sqrt(n)`: for a few runs. `values` has at least one.
    pub fn of_few(values: &[f64]) -> Self {
        let freedom = values.len().saturating_sub(1);
        let t = match freedom {
            1..=30 => STUDENT[freedom - 1],
            // 2.040 falls to 1.96; this is within 0.003 of it (the first term of the expansion in 1 / freedom).
            _ => NORMAL + 2.37 / freedom as f64,
        };
        Self::with(values, t)
    }

    fn with(values: &[f64], quantile: f64) -> Self {
        let count = values.len() as f64;
        let mean = values.iter().sum::<f64>() / count;
        let std = (values.len() > 1).then(|| {
            let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
            (squares / (count - 1.0)).sqrt()
        });
        Self { mean, std, ci95: std.map(|std| quantile * std / count.sqrt()) }
    }

    /// `67.50 % +- 0.82` for fractions.
    pub fn percent(&self) -> String {
        let mean = format!("{:.2} %", 100.0 * self.mean);
        self.ci95.map_or(mean.clone(), |half| format!("{mean} +- {:.2}", 100.0 * half))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_intervals() {
        let few = Interval::of_few(&[1.0, 2.0, 3.0, 4.0, 5.0]);
        assert_eq!(few.mean, 3.0);
        assert!((few.std.unwrap() - 2.5f64.sqrt()).abs() < 1e-12);
        // t(4) = 2.776: 2.776 * 1.5811 / 2.2361.
        assert!((few.ci95.unwrap() - 1.9629).abs() < 1e-4, "{few:?}");

        let many: Vec<f64> = (0..600).map(|i| f64::from(i % 2)).collect();
        let many = Interval::of_many(&many);
        assert!((many.ci95.unwrap() - 1.96 * (150.0f64 / 599.0).sqrt() / 600.0f64.sqrt()).abs() < 1e-12);
        assert_eq!(many.percent(), "50.00 % +- 4.00");
    }

    #[test]
    fn long_tails_meet_the_table_and_one_value_has_no_width() {
        let t = |freedom: usize| {
            let values: Vec<f64> = (0..=freedom).map(|i| i as f64).collect();
            let interval = Interval::of_few(&values);
            interval.ci95.unwrap() / interval.std.unwrap() * (values.len() as f64).sqrt()
        };
        for (freedom, want) in [(1, 12.706), (30, 2.042), (31, 2.0395), (60, 2.0003), (120, 1.9799)] {
            assert!((t(freedom) - want).abs() < 4e-3, "{freedom}: {}", t(freedom));
        }
        assert_eq!(Interval::of_few(&[0.5]), Interval { mean: 0.5, std: None, ci95: None });
    }
}
