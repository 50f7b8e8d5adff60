//! `preview`: views on a picture.

use tempfile::tempdir;

use crate::make::*;

#[test]
fn views_are_marked_and_files_kept() {
    let temp = tempdir().unwrap();
    let (src, dst) = (temp.path().join("src"), temp.path().join("out"));
    for sample in 0..6 {
        write(src.join(format!("train/{}/{sample}.jpg", ["a", "b"][sample % 2])), jpeg(sample as u8, 40, 40));
    }
    convert(&src, &dst, &["--store", "jpeg"], 0);
    let picture = |name: &str, more: &[&str]| {
        let out = temp.path().join(name);
        let fixed = ["preview", path(&dst), "--recipe", "cifar", "--images", "4", "--out", path(&out)];
        let run = shard(&[&fixed[..], more].concat());
        assert_eq!(run.code, 0, "{}", run.err);
        (std::fs::read(&out).unwrap(), image::open(&out).unwrap().into_rgb8())
    };
    let (bytes, pixels) = picture("a.png", &["--views", "3", "--n_supp", "2"]);
    let framed = |colour: [u8; 3]| pixels.pixels().filter(|pixel| pixel.0 == colour).count();
    let (support, query) = (framed(metacl::sheet::SUPPORT), framed(metacl::sheet::QUERY));
    assert!(query > 0 && support > 3 * query / 2, "{support} pixels of support frames, {query} of query frames");
    assert_eq!(picture("b.png", &["--views", "3", "--n-supp", "2"]).0, bytes, "the same seed draws the same picture");
    assert_ne!(picture("c.png", &["--views", "3", "--n-supp", "2", "--seed", "1"]).0, bytes);
    let again = shard(&["preview", path(&dst), "--recipe", "rrc", "--out", path(&temp.path().join("a.png"))]);
    assert_one_line(&again, "a.png");
    assert_eq!(again.code, 1);
}
