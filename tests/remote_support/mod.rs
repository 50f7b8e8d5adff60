//! An HTTP server on loopback that answers ranges of files, rightly or with a fault, and what tests put on it.
#![allow(dead_code, unreachable_pub, reason = "shared by test files, each of which uses its part")]
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use metacl::image::Size;
use metacl::shard::{
    Codec, Location, NewSample, Patience, ShardSet, SplitWriter, Storage, StorageOptions, WriteOptions,
};

/// How a request is answered.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Answer {
    Right,
    /// An error of this number.
    Status(u16),
    /// The connection ends in the middle of the body.
    Cut,
    /// The body is shorter than the range that the header names.
    Short,
    /// Another range, named as such.
    Elsewhere,
    /// The whole file, as servers do that know no ranges.
    Whole,
    /// A byte is another.
    Flipped,
    /// Half of the body, then nothing for a second.
    Stalled,
    /// A little late.
    Slow,
    /// As if another object had come in its place.
    Exchanged,
}

/// A request.
#[derive(Clone, Debug)]
pub struct Asked {
    pub path: String,
    pub range: Range<u64>,
    /// All header lines.
    pub head: String,
}

type Rule = Arc<dyn Fn(usize, &Asked) -> Answer + Send + Sync>;

/// Serves the files of a folder.
pub struct Server {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    root: PathBuf,
    rule: Mutex<Rule>,
    asked: Mutex<Vec<Asked>>,
}

impl Server {
    pub fn start(root: &Path) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared =
            Shared { root: root.to_owned(), rule: Mutex::new(Arc::new(|_, _| Answer::Right)), asked: Mutex::default() };
        let shared = Arc::new(shared);
        let served = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let served = Arc::clone(&served);
                thread::spawn(move || answer(&served, stream));
            }
        });
        Self { address, shared }
    }

    /// Answers from now on as `rule` says, which is given the number of the request from now on, and the request.
    pub fn rule(&self, rule: impl Fn(usize, &Asked) -> Answer + Send + Sync + 'static) {
        *self.shared.rule.lock().unwrap() = Arc::new(rule);
        self.shared.asked.lock().unwrap().clear();
    }

    /// Requests since the rule was set.
    pub fn asked(&self) -> Vec<Asked> {
        self.shared.asked.lock().unwrap().clone()
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}/{path}", self.address)
    }

    pub fn location(&self, path: &str) -> Location {
        Location::parse(Path::new(&self.url(path))).unwrap()
    }
}

fn answer(shared: &Shared, stream: TcpStream) {
    let mut lines = BufReader::new(&stream).lines();
    let head: Vec<String> = lines.by_ref().map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
    let Some(path) = head.first().and_then(|line| line.split(' ').nth(1)) else { return };
    let path = path.split('?').next().unwrap().trim_start_matches('/').to_owned();
    let range = head.iter().find_map(|line| line.to_ascii_lowercase().strip_prefix("range: bytes=").map(str::to_owned));
    let range = range.and_then(|range| {
        let (start, end) = range.split_once('-')?;
        Some(start.parse().ok()?..end.parse::<u64>().ok()? + 1)
    });
    let Ok(file) = fs::read(shared.root.join(&path)) else {
        shared.asked.lock().unwrap().push(Asked { path, range: 0..0, head: head.join("\n") });
        let _ = (&stream).write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        return;
    };
    let range = range.unwrap_or(0..file.len() as u64);
    let range = range.start..range.end.min(file.len() as u64);
    let asked = Asked { path, range: range.clone(), head: head.join("\n") };
    let number = {
        let mut all = shared.asked.lock().unwrap();
        all.push(asked.clone());
        all.len() - 1
    };
    let rule = Arc::clone(&shared.rule.lock().unwrap());
    // A client that has gone is no failure of the server.
    let _ = reply(stream, &file, range, rule(number, &asked));
}

fn reply(mut stream: TcpStream, file: &[u8], range: Range<u64>, answer: Answer) -> std::io::Result<()> {
    let shifted = |by: u64| range.start.saturating_sub(by)..range.end.saturating_sub(by);
    let range = if answer == Answer::Elsewhere { shifted(8) } else { range };
    let mut body = file[range.start as usize..range.end as usize].to_vec();
    let etag = if answer == Answer::Exchanged { "other".to_owned() } else { file.len().to_string() };
    let common = format!("ETag: \"{etag}\"\r\nConnection: close\r\n");
    match answer {
        Answer::Status(code) => {
            return stream.write_all(format!("HTTP/1.1 {code} No\r\nContent-Length: 0\r\n{common}\r\n").as_bytes());
        }
        Answer::Whole => {
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n{common}\r\n", file.len());
            stream.write_all(head.as_bytes())?;
            return stream.write_all(file);
        }
        Answer::Flipped => {
            let at = body.len() / 2;
            body[at] ^= 0x10;
        }
        Answer::Slow => thread::sleep(Duration::from_millis(30)),
        _ => {}
    }
    let length = if answer == Answer::Short { body.len() / 2 } else { body.len() };
    let (start, end, size) = (range.start, range.end - 1, file.len());
    let head = format!(
        "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes {start}-{end}/{size}\r\nContent-Length: {length}\r\n{common}\r\n"
    );
    stream.write_all(head.as_bytes())?;
    match answer {
        Answer::Cut => stream.write_all(&body[..body.len() / 2]),
        Answer::Stalled => {
            stream.write_all(&body[..body.len() / 2])?;
            thread::sleep(Duration::from_secs(1));
            Ok(())
        }
        _ => stream.write_all(&body[..length]),
    }
}

/// Short pauses, so that a test of a lasting fault ends soon.
pub fn patience() -> Patience {
    Patience {
        retries: 6,
        pause: Duration::from_millis(4),
        silence: Duration::from_millis(300),
        limit: Duration::from_secs(60),
    }
}

/// A way to a server, with a cache of `cache_size` bytes in `cache`.
pub fn storage(cache: &Path, cache_size: u64) -> Storage {
    Storage::new(StorageOptions {
        cache_dir: Some(cache.to_owned()),
        cache_size,
        variables: Vec::new(),
        patience: patience(),
    })
}

/// Samples of [`photos`].
pub const PHOTOS: u32 = 90;

/// A split of three files and 9 MiB: raw pictures of 60 to 150 kB, 16 to an index page.
pub fn photos(folder: &Path) -> ShardSet {
    let options = WriteOptions {
        shard_size: 3 << 20,
        classes: vec!["even".into(), "odd".into()],
        page_entries: 16,
        ..WriteOptions::default()
    };
    let mut writer = SplitWriter::create(folder, options).unwrap();
    for sample in 0..PHOTOS {
        let size = Size::new(150 + sample % 7 * 20, 130 + sample % 5 * 10);
        let bytes: Vec<u8> =
            (0..3 * size.area() as u32).map(|at| (at / 7 * (1 + sample) + (at >> 9) * 31) as u8).collect();
        let name = format!("photo/{sample:03}");
        writer.append(&NewSample { bytes: &bytes, size, codec: Codec::Raw, label: sample % 2, name: &name }).unwrap();
    }
    writer.finish().unwrap();
    ShardSet::open(folder).unwrap()
}

/// All files of a folder and their bytes.
pub fn files_below(folder: &Path) -> Vec<(PathBuf, u64)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => found.extend(files_below(&entry.path())),
            Ok(metadata) => found.push((entry.path(), metadata.len())),
            // Gone meanwhile.
            Err(_) => {}
        }
    }
    found
}

/// The extents in a cache.
pub fn extents(cache: &Path) -> Vec<PathBuf> {
    files_below(&cache.join("extents")).into_iter().map(|(path, _)| path).collect()
}

/// Bytes of all files of a cache.
pub fn bytes_below(folder: &Path) -> u64 {
    files_below(folder).iter().map(|(_, bytes)| bytes).sum()
}
