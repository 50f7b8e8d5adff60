//! An S3 server on loopback: s3s-fs, which checks signatures and keeps buckets as folders.
#![allow(dead_code, unreachable_pub, reason = "shared by test files, each of which uses its part")]

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;
use s3s_fs::FileSystem;

const KEY: &str = "AKIATESTSTESTSTESTS1";
const SECRET: &str = "sEcReT/of+tests/0123456789";

/// A server with a bucket of the name `bucket`.
pub struct S3 {
    address: SocketAddr,
    bucket: PathBuf,
}

impl S3 {
    pub fn start(root: &Path) -> Self {
        let bucket = root.join("bucket");
        fs::create_dir_all(&bucket).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let mut builder = S3ServiceBuilder::new(FileSystem::new(root).unwrap());
        builder.set_auth(SimpleAuth::from_single(KEY, SECRET));
        let service = builder.build();
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                while let Ok((socket, _)) = listener.accept().await {
                    let service = service.clone();
                    tokio::spawn(async move {
                        // A client that has gone is no failure of the server.
                        let _ =
                            Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(socket), service).await;
                    });
                }
            });
        });
        Self { address, bucket }
    }

    /// The folder of the bucket.
    pub fn bucket(&self) -> &Path {
        &self.bucket
    }

    /// Credentials and address, by the variables of the SDK.
    pub fn variables(&self) -> Vec<(String, String)> {
        let endpoint = format!("http://{}", self.address);
        [
            ("AWS_ACCESS_KEY_ID", KEY),
            ("AWS_SECRET_ACCESS_KEY", SECRET),
            ("AWS_REGION", "us-east-1"),
            ("AWS_ENDPOINT_URL", &endpoint),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into()
    }

    /// `metacl-shard` with them.
    pub fn shard(&self, cache: &Path, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_metacl-shard"));
        command.args(arguments).arg("--cache-dir").arg(cache).envs(self.variables());
        command
    }
}
