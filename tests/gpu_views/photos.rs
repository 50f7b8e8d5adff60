//! Real photos, where `METACL_TEST_DATA` names a folder that holds `imagenet_sample`.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use metacl::augment::{ViewSpec, recipe};
use metacl::coef::encode;
use metacl::decode::{Limits, jpeg_coefficients, probe};
use metacl::loader::Expansions;
use metacl::shard::{Codec, NewSample, ShardSet};

use crate::Subject;
use crate::run::{Job, LEVELS, assert_rows};
use crate::stage_support::writer;

/// As coefficient records, and as JPEGs where they have none.
pub(crate) fn views(subject: &Subject<'_>) {
    let Some(data) = std::env::var_os("METACL_TEST_DATA") else {
        eprintln!("skipped: METACL_TEST_DATA names no folder with imagenet_sample");
        return;
    };
    let paths = files(&PathBuf::from(data).join("imagenet_sample"));
    let most = subject.choose(24, usize::MAX);
    let step = paths.len().div_ceil(most).max(1);
    let folder = tempfile::tempdir().unwrap();
    let set = dataset(folder.path(), paths.iter().step_by(step));
    let spec = ViewSpec::bicubic(224);
    let job = Job::new(&set, spec, vec![recipe::ssl_imagenet(0.08, 1.0); 2], set.len() / 6);
    let expected = job.expected();
    for expansions in [Expansions::Device, Expansions::Host] {
        let got = job.staged(subject, LEVELS, expansions);
        assert_rows(&got, &expected, spec.bytes(), &format!("{} photos, {expansions:?}", set.len()));
    }
}

fn dataset<'a>(folder: &Path, paths: impl Iterator<Item = &'a PathBuf>) -> Arc<ShardSet> {
    let mut writer = writer(folder);
    for path in paths {
        let file = fs::read(path).unwrap();
        let Ok(size) = probe(Codec::Jpeg, &file) else { continue };
        let coefficients = jpeg_coefficients(&file, Limits::default(), None).ok();
        let record = coefficients.and_then(|coefficients| encode(&coefficients).ok());
        let (bytes, codec) = record.map_or((file, Codec::Jpeg), |record| (record, Codec::Coef));
        writer.append(&NewSample { bytes: &bytes, size, codec, label: 0, name: &path.to_string_lossy() }).unwrap();
    }
    writer.finish().unwrap();
    Arc::new(ShardSet::open(folder).unwrap())
}

/// All files below `folder`, in the order of their names.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.into_iter().flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}
