//! Fixtures, and the program under test.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use image::codecs::jpeg::JpegEncoder;
use image::{ExtendedColorType, RgbImage};
use metacl::shard::ShardSet;

/// How the program ended.
pub(crate) struct Run {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// Runs `metacl-shard` with `args`.
pub(crate) fn shard(args: &[&str]) -> Run {
    let output = Command::new(env!("CARGO_BIN_EXE_metacl-shard")).args(args).output().expect("the program was built");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("messages are UTF-8");
    Run { code: output.status.code().unwrap_or(-1), out: text(output.stdout), err: text(output.stderr) }
}

/// Runs `convert src dst extra..` and expects `code`.
pub(crate) fn convert(src: &Path, dst: &Path, extra: &[&str], code: i32) -> Run {
    let run = shard(&[&["convert", path(src), path(dst)], extra].concat());
    assert_eq!(run.code, code, "{}{}", run.out, run.err);
    run
}

/// A failed command says one line that names `mention`, and panics nowhere.
pub(crate) fn assert_one_line(run: &Run, mention: &str) {
    let errors: Vec<&str> = run.err.lines().filter(|line| line.starts_with("metacl-shard: error: ")).collect();
    assert_eq!(errors.len(), 1, "{}", run.err);
    assert!(errors[0].contains(mention), "`{}` does not name `{mention}`", errors[0]);
    assert!(!run.err.contains("panicked"), "{}", run.err);
}

pub(crate) fn path(path: &Path) -> &str {
    path.to_str().expect("temporary folders have UTF-8 names")
}

pub(crate) fn write(path: impl AsRef<Path>, bytes: impl AsRef<[u8]>) {
    let path = path.as_ref();
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

/// An image that no other `seed` has.
pub(crate) fn pixels(seed: u8, width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| image::Rgb([(9 * x) as u8 ^ seed, (5 * y) as u8, seed.wrapping_mul(37)]))
}

pub(crate) fn jpeg(seed: u8, width: u32, height: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    let encoder = JpegEncoder::new_with_quality(&mut bytes, 90);
    pixels(seed, width, height).write_with_encoder(encoder).unwrap();
    bytes
}

pub(crate) fn png(seed: u8, width: u32, height: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    let encoder = image::codecs::png::PngEncoder::new(&mut bytes);
    image::ImageEncoder::write_image(encoder, &pixels(seed, width, height), width, height, ExtendedColorType::Rgb8)
        .unwrap();
    bytes
}

/// A tar of plain files.
pub(crate) fn tar(members: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, bytes) in members {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, name, bytes.as_slice()).unwrap();
    }
    builder.into_inner().unwrap()
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut encoder, bytes).unwrap();
    encoder.finish().unwrap()
}

/// CIFAR planes of image `seed`: R, G, B of 32 x 32; and the same pixels interleaved.
pub(crate) fn cifar_image(seed: u8) -> (Vec<u8>, Vec<u8>) {
    let image = pixels(seed, 32, 32);
    let planes = (0..3).flat_map(|channel| image.pixels().map(move |pixel| pixel.0[channel])).collect();
    (planes, image.into_raw())
}

/// A binary CIFAR batch: for each image its label bytes and planes.
pub(crate) fn cifar_binary(images: &[(&[u8], u8)]) -> Vec<u8> {
    images.iter().flat_map(|&(labels, seed)| [labels, &cifar_image(seed).0].concat()).collect()
}

/// A pickle as Python 2's cPickle wrote the published batches (protocol 2): `data` and lists of numbers.
pub(crate) fn cifar_pickle(seeds: &[u8], lists: &[(&str, &[u8])]) -> Vec<u8> {
    let data: Vec<u8> = seeds.iter().flat_map(|&seed| cifar_image(seed).0).collect();
    let mut out = b"\x80\x02}q\x01(".to_vec();
    for (key, numbers) in lists {
        out.extend([&[b'U', key.len() as u8], key.as_bytes(), b"]q\x02("].concat());
        numbers.iter().for_each(|&number| out.extend([b'K', number]));
        out.push(b'e');
    }
    out.extend(b"U\x04dataq\x03cnumpy.core.multiarray\n_reconstruct\nq\x04cnumpy\nndarray\nq\x05K\x00\x85q\x06U\x01bq\x07\x87q\x08Rq\x09");
    out.extend([b"(K\x01M", &(seeds.len() as u16).to_le_bytes()[..], b"M\x00\x0c\x86q\x0a"].concat());
    out.extend(b"cnumpy\ndtype\nq\x0bU\x02u1q\x0cK\x00K\x01\x87q\x0dRq\x0e(K\x03U\x01|q\x0fNNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89");
    out.extend([b"T", &(data.len() as u32).to_le_bytes()[..], &data, b"tbu."].concat());
    out
}

/// A pickled dictionary of one list of strings.
pub(crate) fn names_pickle(lists: &[(&str, &[&str])]) -> Vec<u8> {
    let string = |text: &str| [&[b'U', text.len() as u8], text.as_bytes()].concat();
    let mut out = b"\x80\x02}(".to_vec();
    for (key, names) in lists {
        out.extend([&string(key)[..], b"]("].concat());
        names.iter().for_each(|name| out.extend(string(name)));
        out.push(b'e');
    }
    out.extend(b"u.");
    out
}

/// Name, label and bytes of every sample of a split.
pub(crate) fn samples(dataset: &Path, split: &str) -> Vec<(String, u32, Vec<u8>)> {
    let set = ShardSet::open_split(dataset, split).unwrap();
    let sample = |index| {
        let name = set.name(index).unwrap().to_owned();
        (name, set.info(index).unwrap().label, set.record(index).unwrap().to_vec())
    };
    (0..set.len()).map(sample).collect()
}

/// Names and labels of every sample of a split.
pub(crate) fn tags(dataset: &Path, split: &str) -> Vec<(String, u32)> {
    samples(dataset, split).into_iter().map(|(name, label, _)| (name, label)).collect()
}

pub(crate) fn classes(dataset: &Path, split: &str) -> Vec<String> {
    ShardSet::open_split(dataset, split).unwrap().classes().to_vec()
}

/// What a list of left-out files says: name and reason.
pub(crate) fn rejected(dataset: &Path, split: &str) -> Vec<(String, String)> {
    let list = fs::read_to_string(dataset.join(split).join("rejected.tsv")).unwrap();
    list.lines().map(|line| line.split_once('\t').map(|(n, r)| (n.to_owned(), r.to_owned())).unwrap()).collect()
}

/// About eight images a file.
pub(crate) const SMALL: [&str; 4] = ["--store", "raw", "--shard-size", "100000"];
pub(crate) const RESUME: [&str; 5] = ["--store", "raw", "--shard-size", "100000", "--resume"];
/// Two splits of two classes, with files that are left out; 60 and 30 images of 12 kB as pixels.
pub(crate) fn source(root: &Path) -> PathBuf {
    let src = root.join("src");
    for (split, count) in [("train", 30), ("val", 15)] {
        for class in ["a", "b"] {
            for number in 0..count {
                write(src.join(split).join(class).join(format!("{number}.jpg")), jpeg(number * 2, 64, 64));
            }
        }
        write(src.join(split).join("a/10.txt"), "no image");
        write(src.join(split).join("b/z.txt"), "no image");
    }
    src
}

/// All files below `folder`, hidden ones too, but the lock.
pub(crate) fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.file_name().unwrap() != "lock" {
                found.insert(path.strip_prefix(folder).unwrap().to_owned(), fs::read(path).unwrap());
            }
        }
    }
    found
}

pub(crate) fn assert_same(one: &Path, other: &Path) {
    let [one, other] = [one, other].map(files);
    assert_eq!(one.keys().collect::<Vec<_>>(), other.keys().collect::<Vec<_>>());
    for (path, bytes) in &one {
        assert!(*bytes == other[path], "{} differs", path.display());
    }
}
