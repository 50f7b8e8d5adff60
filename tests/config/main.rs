//! Published files and commands are taken as they are; anything else that is wrong is refused with its place and value.
#![allow(clippy::unwrap_used, reason = "test code fails by panicking")]

mod published;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use metacl::augment::{CropPolicy, JitterPolicy, TaskPolicy, recipe};
use metacl::config::{Command, Config, ConfigError, Family, Head, KEYS, Loaded, MAY_CHANGE, Origin, help, load};

fn preset(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("configs").join(format!("{name}.yaml")).display().to_string()
}

fn load_with(arguments: &[&str], variables: &[(&str, &str)]) -> Result<Loaded, ConfigError> {
    let arguments: Vec<String> = arguments.iter().map(|&argument| argument.to_owned()).collect();
    let variables: BTreeMap<&str, &str> = variables.iter().copied().collect();
    match load(&arguments, &|name| variables.get(name).map(|&value| value.to_owned()))? {
        Command::Run(loaded) => Ok(*loaded),
        other => panic!("asked for a run, got {other:?}"),
    }
}

fn run(arguments: &[&str]) -> Result<Loaded, ConfigError> {
    load_with(arguments, &[])
}

/// A run of the quickstart with `extra` flags.
fn quick(extra: &[&str]) -> Result<Loaded, ConfigError> {
    run(&[&["--config", &preset("quickstart")], extra].concat())
}

fn written(text: &str) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.yaml");
    fs::write(&path, text).unwrap();
    (folder, path.display().to_string())
}

#[test]
fn later_sources_win_and_spellings_are_alike() {
    let (_folder, path) = written("lr: 0.5\nwd: 1e-3\nsave_freq: 1e16\ndist-address: a:1\niters: 5\nsync_bn: No\n");
    let c = run(&[
        "--config",
        &path,
        "--lr=0.25",
        "--lr",
        "0.125",
        "--dist-address",
        "b:2",
        "-j",
        "3",
        "--weight-decay",
        "0",
    ]);
    let c = c.unwrap().config;
    assert_eq!((c.lr, c.weight_decay, c.save_freq, c.workers), (0.125, 0.0, 10u64.pow(16), Some(3)));
    assert_eq!((c.dist_address.as_str(), c.iters, c.sync_bn), ("b:2", Some(5), false));
    let c = run(&["-j2", "--iters", "1e3", "--tmp", "--fresh", "--seed", "-1", "--rottlr", "-1", "--aug", "-j8"])
        .unwrap()
        .config;
    assert_eq!((c.workers, c.iters, c.tmp, c.fresh, c.seed), (Some(8), Some(1000), true, true, None));
    for (text, want) in
        [("true", true), ("T", true), ("on", true), ("1", true), ("off", false), ("n", false), ("0", false)]
    {
        assert_eq!(quick(&["--sync_bn", text]).unwrap().config.sync_bn, want, "{text}");
    }
}

#[test]
fn unknown_keys_name_the_nearest_known_one_and_their_place() {
    let (_folder, path) = written("iters: 5\nbatchsize: 3\n");
    let in_file = Origin::File { path: PathBuf::from(&path), line: 2 };
    let refused = run(&["--config", &path]);
    assert!(
        matches!(&refused, Err(ConfigError::UnknownKey { origin, nearest: "batch_size", .. }) if *origin == in_file),
        "{refused:?}"
    );
    let refused = quick(&["--temprature", "1"]);
    assert!(matches!(refused, Err(ConfigError::UnknownKey { origin: Origin::Flag(_), nearest: "temperature", .. })));
}

#[test]
fn wrong_types_name_place_value_and_what_is_accepted() {
    let (_folder, path) = written("iters: 5\n\nlr: fast\n");
    let in_file = Origin::File { path: PathBuf::from(&path), line: 3 };
    let refused = run(&["--config", &path]);
    let fits = matches!(&refused, Err(ConfigError::Type { origin, key: "lr", value, .. }) if *origin == in_file && value == "fast");
    assert!(fits, "{refused:?}");
    for (flag, value) in
        [("--iters", "1.5"), ("--head", "SimCLR"), ("--sync_bn", "maybe"), ("--lr", "nan"), ("--n_supp", "5000000000")]
    {
        let refused = quick(&[flag, value]);
        assert!(
            matches!(refused, Err(ConfigError::Type { origin: Origin::Flag(_), .. })),
            "{flag} {value}: {refused:?}"
        );
    }
}

#[test]
fn command_lines_that_make_no_sense_are_refused() {
    assert!(matches!(quick(&["--lr"]), Err(ConfigError::MissingValue { .. })));
    assert!(matches!(quick(&["--lr", "--iters", "3"]), Err(ConfigError::MissingValue { .. })));
    assert!(matches!(quick(&["configs/x.yaml"]), Err(ConfigError::StrayArgument { .. })));
    assert!(matches!(quick(&["-x", "3"]), Err(ConfigError::StrayArgument { .. })));
    assert!(matches!(run(&["--config", "/no/such.yaml"]), Err(ConfigError::Read { .. })));
    let (_folder, path) = written("wd: 1\nlr: 2\nweight_decay: 3\n");
    assert!(matches!(
        run(&["--config", &path]),
        Err(ConfigError::Duplicate { line: 3, first: 1, key: "weight_decay", .. })
    ));
    let (_folder, path) = written(&"# padding\n".repeat(200_000));
    assert!(matches!(run(&["--config", &path]), Err(ConfigError::TooLarge { .. })));
}

#[test]
fn temperature_follows_the_head_where_it_is_unset() {
    for (head, temperature) in [("contrastive", 10.0), ("PN", 0.2)] {
        let c = quick(&["--head", head]).unwrap().config;
        assert_eq!(c.temperature, Some(temperature), "{head}");
    }
    for (head, temperature) in [(Head::R2d2, 0.1), (Head::Svm, 10.0)] {
        assert_eq!(Config { head, ..Config::default() }.temperature(), temperature, "{head:?}");
    }
    let pn = Config { head: Head::Pn, temperature: Some(0.5), ..Config::default() };
    assert!(pn.logit_scale().contains("4 x cosine"), "{}", pn.logit_scale());
    let foreign = run(&["--config", &preset("cifar_train_epochs1000_bs1024"), "--head", "PN"]).unwrap();
    assert!(foreign.notes.iter().any(|note| note.starts_with("temperature 2 ")), "{:?}", foreign.notes);
    let own =
        run(&["--config", &preset("cifar_train_epochs1000_bs1024"), "--head", "PN", "--temperature", "0.2"]).unwrap();
    assert!(!own.notes.iter().any(|note| note.starts_with("temperature")), "{:?}", own.notes);
}

#[test]
fn shots_make_the_number_of_views_and_must_agree_with_it() {
    let c = quick(&["--head", "PN", "--n_supp", "3", "--n_query", "2"]).unwrap().config;
    assert_eq!((c.multiplier, c.views()), (Some(5), 5));
    assert_eq!(quick(&["--n_supp", "3"]).unwrap().config.views(), 2, "contrastive does not use n_supp");
    let odd = quick(&["--head", "PN", "--multiplier", "2", "--n_supp", "2"]);
    assert!(matches!(odd, Err(ConfigError::Rule { key: "multiplier", origin: Origin::Flag(_), .. })), "{odd:?}");
}

#[test]
fn values_out_of_range_are_refused_by_key() {
    let rows = [
        ("iters", "0"),
        ("warmup", "1.5"),
        ("scale_lower", "0"),
        ("query_scale_lower", "1.01"),
        ("supp_blur", "2"),
        ("color_dist_s", "3"),
        ("multiplier", "1"),
        ("temperature", "0"),
        ("batch_size", "1"),
        ("accu_iter", "0"),
        ("log_freq", "0"),
        ("keep_checkpoints", "0"),
        ("max_pixels", "0"),
        ("workers", "0"),
        ("node_rank", "1"),
        ("dist_address", "nowhere"),
        ("run_id", "../other"),
        ("run_id", ".."),
        ("image_size", "0"),
        ("image_size", "100000"),
        ("arch", "linear"),
        ("rottlr_p", "1.5"),
        ("lr", "-1"),
    ];
    for (name, value) in rows {
        let refused = quick(&[&format!("--{name}"), value]);
        assert!(matches!(refused, Err(ConfigError::Rule { key, .. }) if key == name), "{name} {value}: {refused:?}");
    }
    let odd = quick(&["--batch_size", "100", "--nproc", "3", "--dist", "ddp"]);
    assert!(matches!(odd, Err(ConfigError::Rule { key: "batch_size", .. })), "{odd:?}");
    let without = run(&["--lr", "1"]);
    assert!(matches!(without, Err(ConfigError::Rule { key: "iters", .. })), "{without:?}");
}

#[test]
fn processes_meet_where_the_config_says() {
    let several = quick(&["--nproc", "3", "--batch_size", "12"]).unwrap().config;
    assert_eq!((several.processes(|| 8), several.machines()), (3, 1));
    assert_eq!(several.meeting_place().unwrap(), None, "a free port");
    let here = quick(&["--nproc", "2", "--dist_address", "127.0.0.1:77"]).unwrap().config;
    assert_eq!(here.meeting_place().unwrap(), Some(("127.0.0.1", 77)));

    let dp = quick(&["--world_size", "4"]).unwrap();
    assert_eq!((dp.config.processes(|| 8), dp.config.machines()), (1, 1), "dp is one process");
    assert!(dp.notes.iter().any(|note| note.contains("world_size 4")), "{:?}", dp.notes);
    let ddp = quick(&["--dist", "ddp", "--world_size", "4", "--node_rank", "3"]).unwrap().config;
    assert_eq!((ddp.processes(|| 8), ddp.processes(|| 0), ddp.machines()), (8, 1, 4));
    assert_eq!(ddp.meeting_place().unwrap(), Some(("127.0.0.1", 1234)));
    let nowhere = quick(&["--dist", "ddp", "--world_size", "4", "--dist_address", ""]).unwrap().config;
    assert!(matches!(nowhere.meeting_place(), Err(ConfigError::Rule { key: "dist_address", .. })));
}

#[test]
fn batches_are_shared_out_whole() {
    let shares = |flags: &[&str], processes| quick(flags).unwrap().config.batch_share(processes).ok();
    assert_eq!(shares(&["--batch_size", "12"], 4), Some(3));
    assert_eq!(shares(&["--batch_size", "12"], 5), None);
    assert_eq!(shares(&["--batch_size", "12", "--qcm", "true"], 4), None, "three images are no pairs");
    assert_eq!(shares(&["--batch_size", "12", "--qcm", "true"], 3), Some(4));
    let odd = quick(&["--batch_size", "6", "--nproc", "2", "--qcm", "true"]);
    assert!(matches!(odd, Err(ConfigError::Rule { key: "batch_size", .. })), "{odd:?}");
    assert!(quick(&["--problem", "eval", "--batch_size", "7", "--nproc", "2"]).is_ok(), "an epoch ends short anyway");
}

#[test]
fn data_decides_recipe_size_and_stem_and_roles_may_differ() {
    let cifar = quick(&["--scale_lower", "0.08"]).unwrap().config;
    assert_eq!((cifar.image_size(), cifar.has_small_stem()), (32, true));
    assert_eq!(cifar.view_policies().support, recipe::ssl_cifar(0.08, 0.5));
    let imagenet = quick(&["--data", "imagenet", "--image_size", "none", "--scale_lower", "0.08"]).unwrap().config;
    assert_eq!((imagenet.image_size, imagenet.has_small_stem(), imagenet.data), (Some(224), false, Family::Imagenet));
    let views = imagenet.view_policies();
    assert_eq!((views.support, views.query), (recipe::ssl_imagenet(0.08, 0.5), recipe::ssl_imagenet(0.08, 0.5)));
    let odd = ["--data", "imagenet", "--scale_lower", "0.08", "--supp_scale_lower", "0.5"];
    let views = quick(&[&odd[..], &["--query_color_dist_s", "1", "--query_blur", "0"]].concat())
        .unwrap()
        .config
        .view_policies();
    assert_eq!(views.support, recipe::ssl_imagenet(0.5, 0.5));
    assert_eq!(views.query, recipe::ssl_cifar(0.08, 1.0));
    assert_eq!(cifar.task_policy(), TaskPolicy::Upright);
    assert_eq!(quick(&["--rottlr_p", "0.25"]).unwrap().config.task_policy(), TaskPolicy::Replace { probability: 0.25 });
    assert_eq!(quick(&["--task_rot", "expand"]).unwrap().config.task_policy(), TaskPolicy::Expand);
}

#[test]
fn evaluation_views_follow_the_words_of_augmentation() {
    let with = |text: &str| run(&["--config", &preset("cifar_eval"), "--augmentation", text]);
    let train = |text: &str| with(text).unwrap().config.eval_policies().unwrap().train;
    assert_eq!(train("RandomCrop"), recipe::padded_crop_and_mirror());
    assert_eq!(train("RandomResizedCrop"), recipe::crop_and_mirror(0.08));
    let distorted = train("RandomResizedCrop_color_distortion");
    assert_eq!((distorted.jitter, distorted.gray), (Some(JitterPolicy::simclr(1.0)), 0.2));
    assert_eq!(train("color_distortion").crop, CropPolicy::Whole);
    for text in ["RandomCop", "RandomCrop+RandomResizedCrop", "RandomCrop+blur"] {
        assert!(matches!(with(text), Err(ConfigError::Rule { key: "augmentation", .. })), "{text}");
    }
    let plain = run(&["--config", &preset("cifar_eval"), "--aug", "false"]).unwrap().config.eval_policies().unwrap();
    assert_eq!((plain.train, plain.test), (recipe::whole(), recipe::whole()));
    let imagenet = run(&["--config", &preset("imagenet_eval")]).unwrap().config.eval_policies().unwrap();
    assert_eq!((imagenet.train, imagenet.test), (recipe::crop_and_mirror(0.08), recipe::centre()));
}

#[test]
fn a_resolved_config_reads_back_and_resolves_to_itself() {
    let loaded =
        quick(&["--name", "a: 'b' \"c\" #d", "--run_id", "000007", "--query_blur", "0.3", "--lr", "0.1"]).unwrap();
    let (_folder, path) = written(&loaded.config.to_yaml());
    assert_eq!(Config::read_resolved(Path::new(&path)).unwrap(), loaded.config);
    assert_eq!(run(&["--config", &path]).unwrap().config, loaded.config);
}

#[test]
fn differences_and_digest_leave_out_what_may_change() {
    for (name, _) in MAY_CHANGE {
        assert!(KEYS.iter().any(|key| key.name == *name), "{name} is no key");
    }
    let saved = quick(&[]).unwrap().config;
    let same = quick(&["--workers", "7", "--log_freq", "3", "--run_id", "x"]).unwrap().config;
    assert_eq!((same.differences(&saved), same.digest()), (vec![], saved.digest()));
    let other = quick(&["--lr", "0.5", "--head", "PN"]).unwrap().config;
    let keys: Vec<&str> = other.differences(&saved).iter().map(|difference| difference.key).collect();
    assert_eq!(keys, ["lr", "head", "temperature"]);
    assert_eq!(other.differences(&saved)[0].now, "0.5");
    assert_ne!(other.digest(), saved.digest());
}

#[test]
fn names_are_unique_and_help_lists_each_with_its_default() {
    let mut names: Vec<&str> = KEYS.iter().flat_map(|key| key.aliases.iter().copied().chain([key.name])).collect();
    let all = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), all);
    let text = help();
    for key in KEYS {
        assert!(
            text.contains(&format!("--{} ", key.name)) || text.contains(&format!("--{},", key.name)),
            "{}",
            key.name
        );
    }
    assert!(text.contains("one of contrastive PN R2D2 SVM; default contrastive"));
    assert!(matches!(load(&["--help".to_owned()], &|_| None), Ok(Command::Help)));
}

#[test]
fn errors_are_one_line() {
    let errors = [
        quick(&["--temprature", "1"]).unwrap_err(),
        quick(&["--lr", "fast"]).unwrap_err(),
        quick(&["--warmup", "2"]).unwrap_err(),
        quick(&["--head", "R2D2", "--reg", "-1"]).unwrap_err(),
        run(&["--config", "/no/such.yaml"]).unwrap_err(),
    ];
    for error in errors {
        println!("{error}");
        assert!(!error.to_string().contains('\n'), "{error}");
    }
}

#[test]
fn a_file_extends_another_and_unsets_keys() {
    let folder = tempfile::tempdir().unwrap();
    let put = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    put("base.yaml", "iters: 7\nlr: 0.5\ntemperature: 2.0\nhead: contrastive\n");
    let child = put("child.yaml", "extends: base.yaml\nhead: PN\ntemperature:\nlr: 0.25\n");
    let loaded = run(&["--config", &child, "--iters", "9"]).unwrap();
    let c = &loaded.config;
    assert_eq!((c.iters, c.lr, c.head, c.temperature()), (Some(9), 0.25, Head::Pn, 0.2));
    assert_eq!(loaded.name, "child");
    assert!(loaded.notes.iter().all(|note| !note.contains("temperature")), "{:?}", loaded.notes);

    let wrong = put("wrong.yaml", "extends: missing.yaml\n");
    let refused = run(&["--config", &wrong]);
    assert!(matches!(&refused, Err(ConfigError::Read { path, .. }) if path.ends_with("missing.yaml")), "{refused:?}");
    let circle = put("circle.yaml", "extends: circle.yaml\n");
    assert!(matches!(run(&["--config", &circle]), Err(ConfigError::Circle { .. })));
}
