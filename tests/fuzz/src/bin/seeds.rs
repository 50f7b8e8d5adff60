//! Makes the seeds of the corpus: small files of every kind that the readers know, written by the library itself or byte by byte.
//!
//! `cargo run --bin seeds` in this folder; what is in the corpus already under another name stays.

use std::fs;
use std::io::{Cursor, Write};
use std::path::Path;

use image::{DynamicImage, ImageFormat};
use metacl::coef;
use metacl::config::Config;
use metacl::decode::{Limits, jpeg_coefficients};
use metacl::image::Size;
use metacl::shard::ingest::synthetic::Synthetic;
use metacl::shard::{Codec, NO_LABEL, NewSample, SplitWriter, WriteOptions};
use metacl::weights::{Meta, to_bytes};
use safetensors::{Dtype, tensor::TensorView};

#[path = "../../../jpeg_support/mod.rs"]
mod jpeg_support;

/// A region in the middle, as the targets of images take it.
const MIDDLE: [u8; 4] = [60, 120, 90, 200];

fn main() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let save = |target: &str, name: &str, bytes: &[u8]| {
        let folder = corpus.join(target);
        fs::create_dir_all(&folder).expect("the corpus can be written");
        fs::write(folder.join(format!("seed-{}", name.replace([' ', ':'], "-"))), bytes)
            .expect("the corpus can be written");
    };
    for (name, file) in jpegs() {
        save("jpeg", &name, &[&MIDDLE, &file[..]].concat());
        save("record", &format!("jpeg {name}"), &record(Codec::Jpeg, SIZE, &file));
    }
    for (name, record) in records() {
        save("coef", &name, &[&MIDDLE, &record[..]].concat());
        save("record", &format!("coef {name}"), &self::record(Codec::Coef, SIZE, &record));
    }
    for (name, file) in pngs() {
        save("png", name, &[&MIDDLE, &file[..]].concat());
    }
    save("record", "png", &record(Codec::Png, SIZE, &pngs()[2].1));
    save("record", "raw", &record(Codec::Raw, SIZE, &pixels()));
    save("shard", "four samples", &shard());
    for (name, bytes) in pickles() {
        save("pickle", name, &bytes);
    }
    for (name, bytes) in tars() {
        save("tar", name, &bytes);
    }
    for (name, bytes) in checkpoints() {
        save("checkpoint", name, &bytes);
    }
    for (name, text) in configs() {
        save("config", name, text.as_bytes());
    }
}

/// Two MCUs and a part of one, each way.
const SIZE: Size = Size::new(37, 35);

/// RGB pixels of [`SIZE`].
fn pixels() -> Vec<u8> {
    let side = 37;
    let drawn = Synthetic::new(4, side, 1).expect("a size it draws").draw(0, 2);
    drawn[..3 * SIZE.area() as usize].to_vec()
}

fn jpegs() -> Vec<(String, Vec<u8>)> {
    let file = |kind: jpeg_support::Kind| {
        let rgb = pixels();
        let four = || rgb.chunks(3).flat_map(|p| [p[0], p[1], p[2], p[0] / 2]).collect();
        jpeg_support::encode(&if kind.four() { four() } else { rgb.clone() }, SIZE, kind)
    };
    jpeg_support::kinds().into_iter().map(|(name, kind)| (name.to_owned(), file(kind))).collect()
}

/// A coefficient record of each JPEG whose kind there is one for.
fn records() -> Vec<(String, Vec<u8>)> {
    let record = |file: &[u8]| coef::encode(&jpeg_coefficients(file, Limits::default(), None).ok()?).ok();
    jpegs().into_iter().filter_map(|(name, file)| Some((name, record(&file)?))).collect()
}

fn pngs() -> Vec<(&'static str, Vec<u8>)> {
    let rgb = image::RgbImage::from_raw(SIZE.width, SIZE.height, pixels()).expect("three bytes a pixel");
    let rgb = DynamicImage::from(rgb);
    let png = |image: DynamicImage| {
        let mut file = Cursor::new(Vec::new());
        image.write_to(&mut file, ImageFormat::Png).expect("a PNG file in memory");
        file.into_inner()
    };
    vec![
        ("gray", png(rgb.to_luma8().into())),
        ("gray alpha", png(rgb.to_luma_alpha8().into())),
        ("rgb", png(rgb.to_rgb8().into())),
        ("rgba", png(rgb.to_rgba8().into())),
        ("gray 16", png(rgb.to_luma16().into())),
        ("rgba 16", png(rgb.to_rgba16().into())),
        ("palette", palette(&[0, 0, 0, 255, 0, 0, 0, 255, 0, 0, 0, 255])),
        // What png 0.18.1 panics at.
        ("odd palette", palette(&[0, 0, 0, 255, 0, 0, 0, 255, 0, 0, 0, 255, 7])),
    ]
}

/// 3 x 2 pixels of 2 bits that name `colours`, interlaced: by hand, because the image crate writes neither.
fn palette(colours: &[u8]) -> Vec<u8> {
    let mut file = b"\x89PNG\r\n\x1a\n".to_vec();
    let mut chunk = |kind: &[u8; 4], data: &[u8]| {
        let mut crc = flate2::Crc::new();
        crc.update(kind);
        crc.update(data);
        file.extend([&(data.len() as u32).to_be_bytes()[..], kind, data, &crc.sum().to_be_bytes()].concat());
    };
    let mut packed = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
    packed.write_all(&[0, 0x40, 0, 0x80, 0, 0xc0, 0, 0x10]).expect("memory");
    chunk(b"IHDR", &[0, 0, 0, 3, 0, 0, 0, 2, 2, 3, 0, 0, 1]);
    chunk(b"PLTE", colours);
    chunk(b"tRNS", &[255, 128]);
    chunk(b"IDAT", &packed.finish().expect("memory"));
    chunk(b"IEND", &[]);
    file
}

/// What the target `record` takes: codec, whether to verify, size, region, bytes.
fn record(codec: Codec, size: Size, bytes: &[u8]) -> Vec<u8> {
    let number = Codec::ALL.iter().position(|known| *known == codec).expect("all codecs are in ALL") as u8;
    let [width, height] = [size.width, size.height].map(|side| (side as u16).to_le_bytes());
    [&[number, 1], &width[..], &height, &MIDDLE, bytes].concat()
}

fn shard() -> Vec<u8> {
    let folder = tempfile::tempdir().expect("room for a small file");
    let options = WriteOptions {
        shard_size: 1 << 20,
        classes: vec!["cat".to_owned(), "häuser".to_owned()],
        metadata: [("source".to_owned(), "made up".to_owned())].into(),
        page_entries: 2,
    };
    let mut writer = SplitWriter::create(folder.path(), options).expect("an empty folder");
    let size = Size::new(2, 1);
    for sample in [
        NewSample { bytes: b"not really a jpeg", size, codec: Codec::Jpeg, label: 0, name: "cat/ä.jpg" },
        NewSample { bytes: &[1, 2, 3, 4, 5, 6], size, codec: Codec::Raw, label: 1, name: "haus/12" },
        NewSample { bytes: b"png", size, codec: Codec::Png, label: NO_LABEL, name: "" },
        NewSample { bytes: b"no coefficients", size, codec: Codec::Coef, label: 1, name: "haus/13" },
    ] {
        writer.append(&sample).expect("a sound sample");
    }
    writer.finish().expect("room for a small file");
    fs::read(folder.path().join("00000.mcs")).expect("just written")
}

fn pickles() -> Vec<(&'static str, Vec<u8>)> {
    let mut batch = b"\x80\x02}q\x01(U\x06labelsq\x02]q\x03K\x07aU\x04dataq\x04cnumpy.core.multiarray\n_reconstruct\nq\x05cnumpy\nndarray\n\
        q\x06K\x00\x85q\x07U\x01bq\x08\x87q\x09Rq\x0a(K\x01K\x01K\x0c\x86q\x0bcnumpy\ndtype\nq\x0cU\x02u1q\x0dK\x00K\x01\x87q\x0eRq\x0f\
        (K\x03U\x01|q\x10NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89T\x0c\x00\x00\x00"
        .to_vec();
    batch.extend(b"123456789012tbu.");
    vec![
        ("cifar batch", batch),
        ("python 3", b"\x80\x02}q\x00c_codecs\nencode\nq\x01X\x04\x00\x00\x00dataq\x02X\x06\x00\x00\x00latin1q\x03\x86q\x04Rq\x05K\x07s.".to_vec()),
        ("protocol 4", b"\x80\x04\x95\x1e\x00\x00\x00\x00\x00\x00\x00}\x94\x8c\x04data\x94\x8c\x07_codecs\x8c\x06encode\x93\x94\x8e\x01\x00\x00\x00\x00\x00\x00\x00xsR\x94h\x00.".to_vec()),
        ("lists", b"\x80\x02}q\x02(U\x04data]q\x02(K\x01M\x02\x01J\xff\xff\xff\xff\x8a\x02\x00\x80eX\x01\x00\x00\x00n\x89G\x00\x00\x00\x00\x00\x00\x00\x00\x88u.".to_vec()),
        ("a call", b"\x80\x02cos\nsystem\nX\x02\x00\x00\x00ls\x85R.".to_vec()),
        ("a circle", b"\x80\x02]q\x00h\x00a.".to_vec()),
        ("a circle of calls", b"\x80\x02]q\x00c_codecs\nencode\nh\x00Rq\x01\x85h\x00h\x01a.".to_vec()),
        (
            "a tensor",
            b"\x80\x02ccollections\nOrderedDict\n)R(X\x01\x00\x00\x00wctorch._utils\n_rebuild_tensor_v2\n((X\x07\x00\x00\x00storagectorch\n\
            FloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x04tQK\x00K\x02K\x02\x86K\x02K\x01\x86\x89ccollections\nOrderedDict\n)RtRu}b."
                .to_vec(),
        ),
    ]
}

fn tars() -> Vec<(&'static str, Vec<u8>)> {
    let jpeg = jpegs().swap_remove(2).1;
    let webdataset = archive(&[("./a.jpg", &jpeg), ("a.cls", b"0"), ("b.jpg", &jpeg), ("b.json", b"{\"label\": 3}")]);
    let class = archive(&[("n01440764_1.JPEG", &jpeg)]);
    let binary = [vec![3], vec![7; 3072]].concat();
    let cifar = archive(&[("cifar-10-batches-bin/data_batch_1.bin", &binary), ("batches.meta.txt", b"cat\ndog\n")]);
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    packed.write_all(&cifar).expect("memory");
    let long = "folder/".repeat(30) + "a.jpg";
    vec![
        ("webdataset", webdataset),
        ("imagenet", archive(&[("n01440764.tar", &class)])),
        ("cifar", cifar),
        ("cifar gz", packed.finish().expect("memory")),
        ("long name", archive(&[(&long, &jpeg)])),
        ("kinds", kinds()),
    ]
}

fn archive(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, bytes) in members {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        builder.append_data(&mut header, name, *bytes).expect("a name that fits");
    }
    builder.into_inner().expect("memory")
}

/// A member of every kind, and attributes in front of one.
fn kinds() -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    builder.append_pax_extensions([("path", b"renamed.jpg".as_slice()), ("size", b"3")]).expect("memory");
    for kind in [b'0', b'1', b'2', b'3', b'4', b'5', b'6', b'7', b'S'] {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::new(kind));
        header.set_path(format!("kind-{}.jpg", char::from(kind))).expect("a name that fits");
        header.set_size(0);
        if let Some(gnu) = header.as_gnu_mut() {
            gnu.realsize = *b"00000000000\0";
        }
        header.set_cksum();
        builder.append(&header, &[][..]).expect("memory");
    }
    builder.into_inner().expect("memory")
}

fn configs() -> Vec<(&'static str, String)> {
    vec![
        ("all keys", Config::default().to_yaml()),
        ("some keys", "arch: resnet18\nlr: 0.05 # of a batch\nbatch-size: '64'\nproblem: sim-clr\n".to_owned()),
        ("odd", "---\n\"a\\u0041\": |\n  b\n? c\n: >-\n  d\n  e\nnull: ~\n...\n".to_owned()),
        ("bomb", "a: &a [x]\nb: &b [*a, *a]\n".to_owned()),
        ("extends", "extends: /dev/null\nlr: 1e16\n".to_owned()),
    ]
}

fn checkpoints() -> Vec<(&'static str, Vec<u8>)> {
    let meta = Meta {
        iter: 7,
        arch: "ResNet18".to_owned(),
        head: "simclr".to_owned(),
        config_digest: "0123456789abcdef0123456789abcdef".to_owned(),
        seed: 1,
        extra: serde_json::json!({ "sums": [0.1, 1e-300], "digests": { "train": "ff" }, "none": null }),
    };
    let data = [0, 0, 128, 63, 0, 0, 0, 64];
    let view = |kind, shape: &[usize]| TensorView::new(kind, shape.to_vec(), &data).expect("as long as its shape");
    let tensors = vec![
        ("bn.num", view(Dtype::I64, &[])),
        ("conv.weight", view(Dtype::F32, &[2, 1])),
        ("optim.m", view(Dtype::F16, &[4])),
    ];
    let plain = |text: &str| [&(text.len() as u64).to_le_bytes()[..], text.as_bytes()].concat();
    vec![
        ("three tensors", to_bytes(&meta, tensors).expect("small tensors")),
        ("no tensor", to_bytes(&meta, Vec::new()).expect("no tensors")),
        ("of others", plain(r#"{"w":{"dtype":"F32","shape":[0,2],"data_offsets":[0,0]}}"#)),
        ("another version", plain(r#"{"__metadata__":{"metacl":"{\"version\":9,\"xxh3_128\":\"\"}"}}"#)),
    ]
}
