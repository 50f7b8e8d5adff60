//! Random crops are torchvision's: single tries exactly, many crops in their means, deviations and quantiles.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod golden_support;

use golden_support::{load, report};
use metacl::augment::draw::crop_try;
use metacl::augment::{CropBox, ViewKey, ViewPolicy, draw_view, recipe};
use metacl::image::Size;
use metacl::rng::{Purpose, Stream};

/// Standard errors allowed: about 220 figures are compared, each misses by chance once in 1.7 million.
const SIGMAS: f64 = 5.0;

/// Probabilities of the stored quantiles.
const QUANTILES: [f64; 7] = [0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99];

/// A number of a crop, given the image's area.
type Figure = fn(&CropBox, f64) -> f64;

fn key(sample: u32) -> ViewKey {
    ViewKey { stream: Stream::new(1, Purpose::View), epoch: 0, sample, view: 0 }
}

#[test]
fn golden_rrc() {
    let golden = load("images.safetensors");
    for case in golden.family("rrc") {
        let get = |name: &str| golden.get(&format!("{case}/{name}"));
        let hw = get("hw").i64();
        let (height, width) = (hw[0] as f64, hw[1] as f64);
        let policy = ViewPolicy::crop_only(recipe::random_resized_crop(get("scale_lower").scalar()));

        // Four times their draws, so that the noise is nearly theirs alone.
        let theirs = get("n").scalar();
        let ours = 4.0 * theirs;
        let image = Size::new(hw[1] as u32, hw[0] as u32);
        let crops: Vec<_> = (0..ours as u32).map(|sample| draw_view(&policy, 0, image, 1, &key(sample)).crop).collect();
        let noise = (1.0 / theirs + 1.0 / ours).sqrt();

        let figures: [(&str, Figure); 6] = [
            ("i", |crop, _| crop.y.into()),
            ("j", |crop, _| crop.x.into()),
            ("h", |crop, _| crop.height.into()),
            ("w", |crop, _| crop.width.into()),
            ("area_fraction", |crop, area| f64::from(crop.width) * f64::from(crop.height) / area),
            ("log_ratio", |crop, _| (f64::from(crop.width) / f64::from(crop.height)).ln()),
        ];
        for (name, figure) in figures {
            let values: Vec<f64> = crops.iter().map(|crop| figure(crop, height * width)).collect();
            check_moments(&values, &get(&format!("{name}_mean_std")).f64(), noise, &format!("{case} {name}"));
            check_quantiles(&values, &get(&format!("{name}_quantiles")).f64(), noise, &format!("{case} {name}"));
        }
        let full = crops.iter().filter(|c| c.width as u32 == image.width && c.height as u32 == image.height).count();
        let (rate, expected) = (full as f64 / ours, get("full_image_rate").scalar());
        // With few or no hits the normal law is poor; a few hits of either side are allowed beyond it.
        let allowed = SIGMAS * ((expected * (1.0 - expected)).sqrt() * noise + 1.0 / theirs);
        assert!((rate - expected).abs() <= allowed, "{case}: full images {rate}, not {expected} +- {allowed}");
    }
}

fn check_moments(values: &[f64], mean_std: &[f64], noise: f64, what: &str) {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let moment = |power: i32| values.iter().map(|v| (v - mean).powi(power)).sum::<f64>() / count;
    let std = moment(2).sqrt();
    let allowed = SIGMAS * std * noise;
    assert!((mean - mean_std[0]).abs() <= allowed, "{what}: mean {mean}, not {} +- {allowed}", mean_std[0]);
    // Error of a standard deviation: sigma / 2 * sqrt((kurtosis - 1) / n).
    let kurtosis = moment(4) / moment(2).powi(2);
    let allowed = SIGMAS * std / 2.0 * (kurtosis - 1.0).sqrt() * noise;
    assert!((std - mean_std[1]).abs() <= allowed, "{what}: deviation {std}, not {} +- {allowed}", mean_std[1]);
}

/// Their quantile must stand at its probability in our distribution, up to the binomial noise; values come in lumps, so the
/// probability may lie anywhere between the shares below and up to it.
fn check_quantiles(values: &[f64], quantiles: &[f64], noise: f64, what: &str) {
    assert_eq!(quantiles.len(), QUANTILES.len());
    for (&p, &quantile) in QUANTILES.iter().zip(quantiles) {
        // Logarithms and quotients of equal integers may differ in the last bits.
        let hair = 1e-9 * quantile.abs().max(1.0);
        let share = |limit: f64| values.iter().filter(|v| **v < limit).count() as f64 / values.len() as f64;
        let (below, up_to) = (share(quantile - hair), share(quantile + hair));
        let allowed = SIGMAS * (p * (1.0 - p)).sqrt() * noise;
        let stands = (below - allowed..=up_to + allowed).contains(&p);
        assert!(stands, "{what}: quantile {p} = {quantile} stands at {below}..{up_to}, +- {allowed}");
    }
}

#[test]
fn golden_rrc_try() {
    let golden = load("images.safetensors");
    let table = golden.get("rrc_try/H_W_fraction_logratio_h_w").f64();
    let accepted = golden.get("rrc_try/accepted").u8();
    report("rrc_try", accepted.len());
    assert_eq!(table.len(), 6 * accepted.len());
    for (row, accepted) in table.chunks_exact(6).zip(accepted) {
        let image = Size::new(row[1] as u32, row[0] as u32);
        let expected = (*accepted != 0).then_some((row[5] as u32, row[4] as u32));
        assert_eq!(crop_try(image, row[2], row[3]), expected, "{row:?}");
    }
}
