//! Embeddings, nearest neighbours and few-shot episodes that ranks share out, to the last bit those of one process.

use std::sync::Arc;

use metacl::augment::{ViewSpec, recipe};
use metacl::device::Feeder;
use metacl::dist::{Comm, Single, gather};
use metacl::eval::embed::EmbedSpec;
use metacl::eval::few_shot::{Solver, Task, accuracies};
use metacl::eval::{Embedding, Knn, embed, knn};
use metacl::loader::LoaderOptions;
use metacl::nn::{Arch, Encoder, EncoderSpec, InitStyle, Mode, Stem};
use metacl::shard::ShardSet;
use tch::{Device, Kind, Tensor};

use super::train_support::dataset;

pub(crate) fn all(comm: Arc<dyn Comm>) {
    uneven_rows(comm.as_ref());
    let folder = tempfile::tempdir().unwrap();
    dataset(folder.path());
    let open = |split: &str| Arc::new(ShardSet::open_split(folder.path(), split).unwrap());
    let (train, test) = (open("train"), open("test"));
    let spec = EncoderSpec { arch: Arch::Conv4 { filters: 4 }, stem: Stem::Cifar };
    let encoder = Encoder::new(spec, Kind::Float, Device::Cpu, 7, InitStyle::Torch);
    let features = |images: &Tensor| encoder.features(images, Mode::Eval);
    // All images in batches of which the last is short, in one batch, and a drawn part of them.
    for (batch, samples) in [(7, 0), (64, 0), (7, 17)] {
        let both = |comm: &Arc<dyn Comm>| {
            let of = |set, encode: &dyn Fn(&Tensor) -> Tensor| embed(set, &embedded(batch, samples, comm), encode);
            let pixels = of(&train, &|images| images.flatten(1, -1)).unwrap();
            [of(&train, &features).unwrap(), of(&test, &features).unwrap(), pixels]
        };
        let one = both(&(Arc::new(Single::default()) as Arc<dyn Comm>));
        let many = both(&comm);
        for (one, many) in one.iter().zip(&many) {
            assert_eq!(one.features, many.features);
            assert_eq!(one.labels, many.labels);
        }
        judged_alike(&one, comm.as_ref());
    }
}

fn embedded(batch: u32, samples: u64, comm: &Arc<dyn Comm>) -> EmbedSpec {
    let loader = LoaderOptions { workers: 1, ..LoaderOptions::default() };
    let (policy, view) = (recipe::whole(), ViewSpec::bicubic(32));
    EmbedSpec { policy, view, batch, samples, seed: 5, feeder: Feeder::on_cpu(loader, Device::Cpu), comm: comm.clone() }
}

fn judged_alike([train, test, _]: &[Embedding; 3], comm: &dyn Comm) {
    let one = Single::default();
    let votes = Knn { k: 5, ..Knn::default() };
    assert_eq!(knn(train, test, 2, votes, comm).unwrap(), knn(train, test, 2, votes, &one).unwrap());
    let task = Task { ways: 2, shots: 1, queries: 2 };
    // Some chunks of episodes, and a short one.
    for (solver, count) in [(Solver::Proto, 130), (Solver::Ridge { reg: 50.0 }, 10)] {
        let by = |comm: &dyn Comm| accuracies(train, task, 3, count, solver, comm).unwrap();
        assert_eq!(by(comm), by(&one));
    }
}

/// Of rank `r`, `(r + 1) % 3` rows: some have none.
fn uneven_rows(comm: &dyn Comm) {
    let own = |rank: u32| {
        let count = i64::from((rank + 1) % 3);
        Tensor::arange(count * 2, (Kind::Int64, Device::Cpu)).reshape([count, 2]) + i64::from(rank) * 100
    };
    let all: Vec<_> = (0..comm.world().size()).map(own).collect();
    assert_eq!(gather::rows(comm, &own(comm.world().rank())).unwrap(), Tensor::cat(&all, 0));
    let [sum, count] = gather::sums(comm, Device::Cpu, [f64::from(comm.world().rank()), 1.0]).unwrap();
    let size = f64::from(comm.world().size());
    assert_eq!((sum, count), (size * (size - 1.0) / 2.0, size));
}
