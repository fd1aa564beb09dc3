//! Medians and percentiles.

use std::time::Duration;

/// The value below which `share` of all lie; zero of nothing.
pub fn percentile(values: &mut [Duration], share: f64) -> Duration {
    values.sort_unstable();
    let at = (values.len() as f64 * share) as usize;
    values.get(at.min(values.len().saturating_sub(1))).copied().unwrap_or_default()
}

pub fn median(values: &mut [Duration]) -> Duration {
    percentile(values, 0.5)
}

/// The median of numbers; zero of nothing.
pub fn median_of(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}
