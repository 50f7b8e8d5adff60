//! Every source format comes back as it went in, in the promised order.

use std::fs;

use tempfile::tempdir;

use crate::make::*;

fn tag(name: &str, label: u32) -> (String, u32) {
    (name.to_owned(), label)
}

#[test]
fn a_class_tree_becomes_train_in_sorted_order() {
    let temp = tempdir().unwrap();
    let (src, dst) = (temp.path().join("pets"), temp.path().join("out"));
    let images = [
        ("dog/b.jpg", jpeg(1, 20, 30)),
        ("cat/z.png", png(2, 8, 9)),
        ("dog/a.JPEG", png(3, 5, 5)),
        ("cat/deep/y.jpg", jpeg(4, 16, 16)),
    ];
    images.iter().for_each(|(name, bytes)| write(src.join(name), bytes));
    convert(&src, &dst, &["--workers", "3", "--store", "jpeg"], 0);

    assert_eq!(classes(&dst, "train"), ["cat", "dog"]);
    let expected =
        [(3, 0), (1, 0), (2, 1), (0, 1)].map(|(at, label)| (images[at].0.to_owned(), label, images[at].1.clone()));
    assert_eq!(samples(&dst, "train"), expected);
    assert!(!dst.join("train/rejected.tsv").exists());
}

#[test]
fn split_folders_become_splits_that_share_classes() {
    let temp = tempdir().unwrap();
    let (src, dst) = (temp.path().join("src"), temp.path().join("out"));
    for (name, seed) in [("train/b/1.jpg", 1), ("train/c/1.jpg", 2), ("val/a/1.jpg", 3), ("test/c/1.jpg", 4)] {
        write(src.join(name), jpeg(seed, 8, 8));
    }
    convert(&src, &dst, &[], 0);
    for split in ["train", "val", "test"] {
        assert_eq!(classes(&dst, split), ["a", "b", "c"]);
    }
    assert_eq!(tags(&dst, "train"), [tag("b/1.jpg", 1), tag("c/1.jpg", 2)]);
    assert_eq!((tags(&dst, "val"), tags(&dst, "test")), (vec![tag("a/1.jpg", 0)], vec![tag("c/1.jpg", 2)]));
}

#[test]
fn a_class_called_train_is_a_class() {
    let temp = tempdir().unwrap();
    let (src, dst) = (temp.path().join("src"), temp.path().join("out"));
    write(src.join("train/1.jpg"), jpeg(1, 8, 8));
    write(src.join("tractor/1.jpg"), jpeg(2, 8, 8));
    convert(&src, &dst, &[], 0);
    assert_eq!(tags(&dst, "train"), [tag("tractor/1.jpg", 0), tag("train/1.jpg", 1)]);
}

#[test]
fn ilsvrc2012_as_downloaded() {
    let temp = tempdir().unwrap();
    let (src, dst) = (temp.path().join("src"), temp.path().join("out"));
    let [a, b, c] = [1, 2, 3].map(|seed| jpeg(seed, 12, 10));
    let late = tar(&[("n02_9.JPEG", b.clone()), ("n02_10.JPEG", c.clone())]);
    write(
        src.join("ILSVRC2012_img_train.tar"),
        tar(&[("n02.tar", late), ("n01.tar", tar(&[("n01_5.JPEG", a.clone())]))]),
    );
    let val = [("ILSVRC2012_val_00000002.JPEG", jpeg(5, 9, 9)), ("ILSVRC2012_val_00000001.JPEG", jpeg(4, 9, 9))];
    write(src.join("ILSVRC2012_img_val.tar"), tar(&val));
    write(temp.path().join("labels.txt"), "ILSVRC2012_val_00000001.JPEG n03\nILSVRC2012_val_00000002.JPEG n01\n");
    convert(&src, &dst, &["--store", "jpeg", "--labels", path(&temp.path().join("labels.txt"))], 0);

    assert_eq!(classes(&dst, "train"), ["n01", "n02", "n03"]);
    let expected = [("n01/n01_5.JPEG", 0, a), ("n02/n02_10.JPEG", 1, c), ("n02/n02_9.JPEG", 1, b)];
    assert_eq!(samples(&dst, "train"), expected.map(|(name, label, bytes)| (name.to_owned(), label, bytes)));
    let expected = [tag("n01/ILSVRC2012_val_00000002.JPEG", 0), tag("n03/ILSVRC2012_val_00000001.JPEG", 2)];
    assert_eq!(tags(&dst, "val"), expected);
}

#[test]
fn the_devkits_ground_truth_goes_by_ids() {
    let temp = tempdir().unwrap();
    let file = |name: &str| temp.path().join(name);
    let val = [("ILSVRC2012_val_00000001.JPEG", jpeg(4, 9, 9)), ("ILSVRC2012_val_00000002.JPEG", jpeg(5, 9, 9))];
    write(file("ILSVRC2012_img_val.tar"), tar(&val));
    write(file("truth.txt"), "2\n1\n");
    write(file("synsets.txt"), "1 n07\n2 n03\n");
    let dst = file("out");
    let (labels, synsets) = (file("truth.txt"), file("synsets.txt"));
    let (labels, synsets) = (path(&labels), path(&synsets));
    let run = convert(&file("ILSVRC2012_img_val.tar"), &dst, &["--labels", labels], 1);
    assert_one_line(&run, "--synsets");
    convert(&file("ILSVRC2012_img_val.tar"), &dst, &["--labels", labels, "--synsets", synsets], 0);
    assert_eq!(classes(&dst, "val"), ["n03", "n07"]);
    let expected = [tag("n03/ILSVRC2012_val_00000001.JPEG", 0), tag("n07/ILSVRC2012_val_00000002.JPEG", 1)];
    assert_eq!(tags(&dst, "val"), expected);

    // A list in alphabetical order is by rank, not by ID: it would mislabel every image.
    write(synsets, "n03\nn07\n");
    let run = convert(&file("ILSVRC2012_img_val.tar"), &file("other"), &["--labels", labels, "--synsets", synsets], 1);
    assert_one_line(&run, "synsets.txt");
}

#[test]
fn webdataset_tars_split_by_name() {
    let temp = tempdir().unwrap();
    let (src, dst) = (temp.path().join("src"), temp.path().join("out"));
    let cls = |label: &str| label.as_bytes().to_vec();
    let second = tar(&[
        ("b.png", png(1, 7, 7)),
        ("b.cls", cls("2\n")),
        ("a.json", cls(r#"{"label": 0}"#)),
        ("a.jpeg", jpeg(2, 7, 7)),
        ("a.txt", cls("caption")),
    ]);
    write(src.join("train-000001.tar"), second);
    write(src.join("train-000000.tar"), tar(&[("x/k.jpg", jpeg(3, 7, 7)), ("x/k.cls", cls("1"))]));
    write(src.join("set-validation-0.tar"), tar(&[("v.jpg", jpeg(4, 7, 7)), ("v.cls", cls("2"))]));
    convert(&src, &dst, &[], 0);
    assert_eq!(classes(&dst, "train"), ["0", "1", "2"]);
    let expected =
        [tag("train-000000.tar/x/k.jpg", 1), tag("train-000001.tar/a.jpeg", 0), tag("train-000001.tar/b.png", 2)];
    assert_eq!(tags(&dst, "train"), expected);
    assert_eq!(tags(&dst, "val"), [tag("set-validation-0.tar/v.jpg", 2)]);
}

#[test]
fn unlabelled_webdatasets_are_taken_without_labels() {
    let temp = tempdir().unwrap();
    write(
        temp.path().join("photos.tar"),
        tar(&[("a.jpg", jpeg(3, 7, 7)), ("a.json", b"{\"caption\": \"?\"}".to_vec())]),
    );
    let dst = temp.path().join("out");
    convert(&temp.path().join("photos.tar"), &dst, &[], 0);
    assert_eq!((tags(&dst, "train"), classes(&dst, "train").len()), (vec![tag("photos.tar/a.jpg", u32::MAX)], 0));
}

#[test]
fn cifar10_binary_and_pickled_give_the_same_samples() {
    let temp = tempdir().unwrap();
    let words = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"];
    let binary = temp.path().join("bin");
    write(binary.join("data_batch_2.bin"), cifar_binary(&[(&[9], 1), (&[0], 2)]));
    write(binary.join("data_batch_10.bin"), cifar_binary(&[(&[1], 3)]));
    write(binary.join("test_batch.bin"), cifar_binary(&[(&[5], 4)]));
    write(binary.join("batches.meta.txt"), words.join("\n") + "\n\n");
    let pickled = tar(&[
        ("cifar-10-batches-py/data_batch_10", cifar_pickle(&[3], &[("labels", &[1])])),
        ("cifar-10-batches-py/readme.html", b"<html>".to_vec()),
        ("cifar-10-batches-py/test_batch", cifar_pickle(&[4], &[("labels", &[5])])),
        ("cifar-10-batches-py/data_batch_2", cifar_pickle(&[1, 2], &[("labels", &[9, 0])])),
        ("cifar-10-batches-py/batches.meta", names_pickle(&[("label_names", &words)])),
    ]);
    write(temp.path().join("cifar-10-python.tar.gz"), gzip(&pickled));
    let [from_binary, from_pickle] = ["one", "two"].map(|name| temp.path().join(name));
    convert(&binary, &from_binary, &[], 0);
    convert(&temp.path().join("cifar-10-python.tar.gz"), &from_pickle, &[], 0);

    let expected = [("data_batch_2/00000", 9, 1), ("data_batch_2/00001", 0, 2), ("data_batch_10/00000", 1, 3)];
    let expected = expected.map(|(name, label, seed)| (name.to_owned(), label, cifar_image(seed).1));
    for dst in [from_binary, from_pickle] {
        assert_eq!(classes(&dst, "train"), words);
        assert_eq!(samples(&dst, "train"), expected);
        assert_eq!(samples(&dst, "test"), [("test_batch/00000".to_owned(), 5, cifar_image(4).1)]);
    }
}

#[test]
fn cifar100_keeps_fine_labels_and_names_the_coarse_ones() {
    let temp = tempdir().unwrap();
    let fine: Vec<String> = (0..100).map(|class| format!("fine{class}")).collect();
    let fine: Vec<&str> = fine.iter().map(String::as_str).collect();
    let binary = temp.path().join("bin");
    write(binary.join("train.bin"), cifar_binary(&[(&[4, 99], 1), (&[7, 0], 2)]));
    write(binary.join("fine_label_names.txt"), fine.join("\n"));
    write(binary.join("coarse_label_names.txt"), "fish\nflowers\n");
    let pickled = temp.path().join("py");
    write(pickled.join("train"), cifar_pickle(&[1, 2], &[("fine_labels", &[99, 0]), ("coarse_labels", &[4, 7])]));
    write(
        pickled.join("meta"),
        names_pickle(&[("fine_label_names", &fine), ("coarse_label_names", &["fish", "flowers"])]),
    );
    for (src, dst) in [(binary, temp.path().join("one")), (pickled, temp.path().join("two"))] {
        convert(&src, &dst, &[], 0);
        assert_eq!(classes(&dst, "train")[99], "fine99");
        let expected =
            [("train/00000".to_owned(), 99, cifar_image(1).1), ("train/00001".to_owned(), 0, cifar_image(2).1)];
        assert_eq!(samples(&dst, "train"), expected);
        let shown = shard(&["inspect", path(&dst), "--json"]).out;
        let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
        assert_eq!(shown["splits"]["train"]["metadata"]["coarse_names"], "fish,flowers");
        assert_eq!(shown["splits"]["train"]["metadata"]["coarse_of_fine"], "7,4");
    }
}

#[test]
fn oversized_images_are_shrunk_and_counted() {
    let temp = tempdir().unwrap();
    let (src, dst) = (temp.path().join("src"), temp.path().join("out"));
    let small = jpeg(1, 40, 20);
    write(src.join("a/1.jpg"), &small);
    write(src.join("a/2.jpg"), jpeg(2, 100, 61));
    let run = convert(&src, &dst, &["--max-side", "50", "--store", "jpeg"], 0);
    assert!(run.out.contains("1 shrunk"), "{}", run.out);
    let samples = samples(&dst, "train");
    assert_eq!(samples[0].2, small);
    let shrunk = image::load_from_memory(&samples[1].2).unwrap();
    assert_eq!((shrunk.width(), shrunk.height()), (50, 31));
}

#[test]
fn limits_take_a_seeded_subset_in_order() {
    let temp = tempdir().unwrap();
    let src = temp.path().join("src");
    (0..12).for_each(|seed| write(src.join(format!("a/{seed:02}.jpg")), jpeg(seed, 8, 8)));
    let take = |name: &str, seed: &str| {
        let dst = temp.path().join(name);
        convert(&src, &dst, &["--limit", "5", "--seed", seed], 0);
        tags(&dst, "train")
    };
    let [first, again, other] = [take("one", "1"), take("two", "1"), take("three", "2")];
    assert!(first.len() == 5 && first.is_sorted());
    assert_eq!(first, again);
    assert_ne!(first, other);
}

#[test]
fn many_files_are_one_split() {
    let temp = tempdir().unwrap();
    let (src, dst) = (temp.path().join("src"), temp.path().join("out"));
    (0..9).for_each(|seed| write(src.join(format!("a/{seed}.jpg")), jpeg(seed, 90, 90)));
    convert(&src, &dst, &["--shard-size", "4K"], 0);
    let files = fs::read_dir(dst.join("train")).unwrap().count();
    assert!(files > 1, "{files} file");
    assert_eq!(samples(&dst, "train").len(), 9);
}
