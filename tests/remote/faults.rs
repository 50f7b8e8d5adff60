//! A server that errs. For a while: nobody notices. For good: an error that says where, and no wrong byte.

use metacl::shard::remote::RemoteError;
use metacl::shard::{Refusal, Section, ShardError, ShardSet, Verify};

use crate::reading::assert_same;
use crate::remote_support::{Answer, Server, photos, storage};

const FAULTS: [Answer; 10] = [
    Answer::Status(500),
    Answer::Status(503),
    Answer::Status(429),
    Answer::Cut,
    Answer::Short,
    Answer::Elsewhere,
    Answer::Whole,
    Answer::Flipped,
    Answer::Stalled,
    Answer::Slow,
];

#[test]
fn faults_that_pass_change_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let disk = photos(&folder.path().join("train"));
    let server = Server::start(folder.path());
    for (number, fault) in FAULTS.into_iter().enumerate() {
        server.rule(move |request, _| if request % 3 == 1 { fault } else { Answer::Right });
        let cache = folder.path().join(format!("cache-{number}"));
        let url = ShardSet::open_at(&server.location("train"), &storage(&cache, 1 << 30)).unwrap();
        assert_same(&disk, &url.with_verify(Verify::Never));
    }
}

#[test]
fn all_of_them_at_once_change_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let disk = photos(&folder.path().join("train"));
    let server = Server::start(folder.path());
    server.rule(|request, _| if request % 2 == 1 { FAULTS[request / 2 % FAULTS.len()] } else { Answer::Right });
    let url = ShardSet::open_at(&server.location("train"), &storage(&folder.path().join("cache"), 3 << 20)).unwrap();
    (0..url.len()).for_each(|index| {
        url.read_ahead(index).unwrap();
    });
    assert_same(&disk, &url);
}

#[test]
fn faults_that_last_are_errors_that_say_where() {
    let folder = tempfile::tempdir().unwrap();
    let disk = photos(&folder.path().join("train"));
    let server = Server::start(folder.path());
    for (number, fault) in FAULTS.into_iter().filter(|fault| *fault != Answer::Slow).enumerate() {
        server.rule(|_, _| Answer::Right);
        let cache = folder.path().join(format!("cache-{number}"));
        let url = ShardSet::open_at(&server.location("train"), &storage(&cache, 1 << 30)).unwrap();
        url.fetch_index().unwrap();
        server.rule(move |_, _| fault);
        match (fault, url.record(3).map(|_| ())) {
            (Answer::Flipped, Err(error)) => {
                // As damage on disk is: that record's, and it is never kept.
                let damaged = |error: &ShardError| {
                    matches!(error, ShardError::Refused(fault)
                        if matches!(fault.refusal, Refusal::Checksum { section: Section::Record, .. }))
                };
                let all: Vec<_> = (0..url.len()).filter(|&index| url.record(index).is_err()).collect();
                assert!(damaged(&error) || !all.is_empty(), "{error}");
            }
            (_, Err(ShardError::Remote(error))) => {
                let RemoteError::Lost { url, range, .. } = *error else { panic!("{fault:?}: {error}") };
                assert!(url.ends_with("/train/00000.mcs"), "{url}");
                assert!(range.contains(&disk.info(3).unwrap().offset), "{range:?}");
            }
            (Answer::Flipped, Ok(())) => {} // the byte was another record's
            (_, other) => panic!("{fault:?}: {other:?}"),
        }
        // Afterwards all is well.
        server.rule(|_, _| Answer::Right);
        assert_same(&disk, &url);
    }
}

#[test]
fn what_cannot_get_better_is_not_tried_again() {
    let folder = tempfile::tempdir().unwrap();
    photos(&folder.path().join("train"));
    let server = Server::start(folder.path());
    for status in [401, 403] {
        server.rule(|_, _| Answer::Right);
        let cache = folder.path().join(format!("cache-{status}"));
        let url = ShardSet::open_at(&server.location("train"), &storage(&cache, 1 << 30)).unwrap();
        server.rule(move |_, _| Answer::Status(status));
        let refused = url.record(0).map(|_| ());
        let denied =
            matches!(&refused, Err(ShardError::Remote(error)) if matches!(**error, RemoteError::Denied { .. }));
        assert!(denied, "{status}: {refused:?}");
        assert_eq!(server.asked().len(), 1);
    }
}

#[test]
fn an_exchanged_object_is_an_error_and_what_is_cached_stays_what_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let disk = photos(&folder.path().join("train"));
    let server = Server::start(folder.path());
    let url = ShardSet::open_at(&server.location("train"), &storage(&folder.path().join("cache"), 1 << 30)).unwrap();
    url.fetch_index().unwrap();
    assert_eq!(url.record(0).unwrap(), disk.record(0).unwrap());
    server.rule(|_, _| Answer::Exchanged);
    assert_eq!(url.record(0).unwrap(), disk.record(0).unwrap());
    let last = url.record(url.len() - 1).map(|_| ());
    let changed = matches!(&last, Err(ShardError::Remote(error)) if matches!(**error, RemoteError::Changed { .. }));
    assert!(changed, "{last:?}");
}

#[test]
fn a_forged_index_is_refused_as_on_disk() {
    let folder = tempfile::tempdir().unwrap();
    photos(&folder.path().join("train"));
    let path = folder.path().join("train/00000.mcs");
    let mut bytes = std::fs::read(&path).unwrap();
    let server = Server::start(folder.path());
    for (number, at) in [3, 20, bytes.len() - 100, bytes.len() - 40, bytes.len() - 2].into_iter().enumerate() {
        bytes[at] ^= 1;
        std::fs::write(&path, &bytes).unwrap();
        let cache = folder.path().join(format!("cache-{number}"));
        let opened = ShardSet::open_at(&server.location("train/00000.mcs"), &storage(&cache, 1 << 30));
        assert!(matches!(opened, Err(ShardError::Refused(_))), "byte {at}");
        bytes[at] ^= 1;
    }
    std::fs::write(&path, b"short").unwrap();
    let opened = ShardSet::open_at(&server.location("train/00000.mcs"), &storage(&folder.path().join("c"), 1 << 30));
    assert!(matches!(opened, Err(ShardError::Refused(fault)) if matches!(fault.refusal, Refusal::TooShort { .. })));
}
