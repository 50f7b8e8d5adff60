//! Nothing that is printed or written holds a credential, whether a command succeeds or fails.

use std::fs;
use std::process::Command;

use crate::remote_support::{Answer, Server, files_below, photos};

const PASSWORD: &str = "pa55w0rd-of-tests";
const SIGNATURE: &str = "5ca1ab1e5ca1ab1e";
const KEY: &str = "AKIATESTSTESTSTESTS1";
const SECRET: &str = "sEcReT/of+tests/0123456789";
const TOKEN: &str = "token-of-tests-0123456789";

#[test]
fn they_are_used_and_never_shown() {
    let folder = tempfile::tempdir().unwrap();
    photos(&folder.path().join("train"));
    let server = Server::start(folder.path());
    let address = server.address();
    let cache = folder.path().join("cache");
    let url = format!("http://tester:{PASSWORD}@{address}/train?X-Amz-Signature={SIGNATURE}");
    let mut heard = String::new();
    let mut run = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_metacl-shard"))
            .args(arguments)
            .arg("--cache-dir")
            .arg(&cache)
            .env("AWS_ACCESS_KEY_ID", KEY)
            .env("AWS_SECRET_ACCESS_KEY", SECRET)
            .env("AWS_SESSION_TOKEN", TOKEN)
            .env("AWS_ENDPOINT_URL", format!("http://{address}"))
            .output()
            .unwrap();
        heard.extend([output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap()));
        output.status.code()
    };
    for command in ["inspect", "stats", "verify"] {
        assert_eq!(run(&[command, &url]), Some(0), "{command}");
    }
    // `tester:pa55w0rd-of-tests` in base64.
    let basic = "dGVzdGVyOnBhNTV3MHJkLW9mLXRlc3Rz";
    for asked in server.asked() {
        assert!(asked.head.contains(basic) && asked.head.contains(SIGNATURE), "{}", asked.head);
    }
    let wrong = format!("http://tester:{PASSWORD}@{address}/nowhere?X-Amz-Signature={SIGNATURE}");
    assert_eq!(run(&["inspect", &wrong]), Some(1));
    server.rule(|_, _| Answer::Status(403));
    assert_eq!(run(&["verify", &url]), Some(1));
    server.rule(|_, _| Answer::Status(400));
    assert_eq!(run(&["verify", &url]), Some(1));
    assert_eq!(run(&["verify", "s3://bucket/train/00000.mcs"]), Some(1));
    assert!(server.asked().iter().any(|asked| asked.head.contains(KEY) && asked.head.contains(TOKEN)), "S3 was signed");
    assert!(heard.lines().count() >= 7, "{heard}");

    let mut written = Vec::new();
    for (path, _) in files_below(&cache) {
        written.extend(path.to_string_lossy().as_bytes());
        written.extend(fs::read(path).unwrap());
    }
    assert!(written.len() > 1 << 20);
    let written = String::from_utf8_lossy(&written);
    for secret in [PASSWORD, SIGNATURE, KEY, SECRET, TOKEN, basic] {
        assert!(!heard.contains(secret), "{secret} was printed:\n{heard}");
        assert!(!written.contains(secret), "{secret} was written");
    }
}
