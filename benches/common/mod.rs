//! What the benches share: the clock, and real or synthetic photos.
//!
//! Every bench checks its result before it is timed. Times are CPU time of the process: where other programs share the cores, wall time
//! says little.
#![allow(dead_code, unreachable_pub, reason = "shared by benches, each of which uses its part")]

use std::path::{Path, PathBuf};
use std::time::Duration;

use criterion::measurement::{Measurement, ValueFormatter, WallTime};
use criterion::{Criterion, Throughput};
use image::codecs::jpeg::JpegEncoder;
use metacl::image::Size;

/// CPU time of all threads of this process.
pub struct CpuTime;

impl Measurement for CpuTime {
    type Intermediate = Duration;
    type Value = Duration;

    fn start(&self) -> Duration {
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: the pointer is valid for one `timespec`.
        unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut time) };
        Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
    }

    fn end(&self, start: Duration) -> Duration {
        self.start() - start
    }

    fn add(&self, a: &Duration, b: &Duration) -> Duration {
        *a + *b
    }

    fn zero(&self) -> Duration {
        Duration::ZERO
    }

    fn to_f64(&self, value: &Duration) -> f64 {
        WallTime.to_f64(value)
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        WallTime.formatter()
    }
}

/// A criterion that counts CPU time and takes some seconds a bench.
pub fn criterion() -> Criterion<CpuTime> {
    Criterion::default()
        .with_measurement(CpuTime)
        .sample_size(20)
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(4))
        .configure_from_args()
}

/// `count` things an iteration.
pub fn each(count: usize) -> Throughput {
    Throughput::Elements(count as u64)
}

/// A JPEG file and its size.
pub struct Photo {
    pub jpeg: Vec<u8>,
    pub size: Size,
}

/// Up to `most` photos: those under `METACL_BENCH_PHOTOS`, evenly chosen, else synthetic ones of about the size and the bits a pixel of
/// ImageNet's.
pub fn photos(most: usize) -> Vec<Photo> {
    let found = std::env::var_os("METACL_BENCH_PHOTOS").map(|folder| jpegs_below(Path::new(&folder)));
    match found {
        Some(files) => {
            assert!(!files.is_empty(), "METACL_BENCH_PHOTOS holds no .jpg, .jpeg or .JPEG file");
            let step = files.len().div_ceil(most);
            files.iter().step_by(step).map(|file| photo(std::fs::read(file).expect("listed before"))).collect()
        }
        None => (0..most.min(16) as u32).map(|number| photo(synthetic(number))).collect(),
    }
}

fn photo(jpeg: Vec<u8>) -> Photo {
    let size = metacl::decode::probe(metacl::shard::Codec::Jpeg, &jpeg).expect("a JPEG");
    Photo { jpeg, size }
}

fn jpegs_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder that can be read") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files.extend(jpegs_below(&path));
        } else if path.extension().is_some_and(|ending| ["jpg", "jpeg", "JPEG"].iter().any(|known| ending == *known)) {
            files.push(path);
        }
    }
    files.sort();
    files
}

/// Waves, edges and grain.
fn synthetic(number: u32) -> Vec<u8> {
    let (width, height) = (500 - number * 3, 375 + number * 5);
    let mut noise = number.wrapping_mul(2_654_435_761) | 1;
    let mut pixels = Vec::with_capacity((3 * width * height) as usize);
    for y in 0..height {
        for x in 0..width {
            let edge = if (x / 37 + y / 53) % 3 == 0 { 60.0 } else { 0.0 };
            for channel in 0..3u32 {
                noise ^= noise << 13;
                noise ^= noise >> 17;
                noise ^= noise << 5;
                let wave = (x as f32 / (9.0 + number as f32 + channel as f32)).sin() * (y as f32 / 23.0).cos();
                let value = 110.0 + 60.0 * wave + edge + (noise >> 27) as f32;
                pixels.push(value.clamp(0.0, 255.0) as u8);
            }
        }
    }
    let mut jpeg = Vec::new();
    JpegEncoder::new_with_quality(&mut jpeg, 92)
        .encode(&pixels, width, height, image::ExtendedColorType::Rgb8)
        .expect("an image of this size can be encoded");
    jpeg
}

/// The photo as a coefficient record; `None` where its kind has none or libjpeg-turbo is not built in.
pub fn record(photo: &Photo) -> Option<Vec<u8>> {
    #[cfg(feature = "turbo")]
    {
        use metacl::decode::{Limits, jpeg_coefficients};
        metacl::coef::encode(&jpeg_coefficients(&photo.jpeg, Limits::default(), None).ok()?).ok()
    }
    #[cfg(not(feature = "turbo"))]
    {
        let _ = photo;
        None
    }
}
