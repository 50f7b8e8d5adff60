//! Loss and gradient of each head on one batch of embeddings, on the CPU.

mod common;

use criterion::{criterion_group, criterion_main};
use metacl::episode::RowLayout;
use metacl::nn::head::{Head, Shots};
use tch::{Kind, Tensor};

const CLASSES: usize = 256;
const WIDTH: i64 = 128;

fn heads(c: &mut criterion::Criterion<common::CpuTime>) {
    tch::manual_seed(0);
    tch::set_num_threads(1);
    let mut group = c.benchmark_group("heads");
    group.throughput(common::each(CLASSES));
    let shots = Shots { n_supp: 1, n_query: 3 };
    let heads = [
        (Head::Contrastive { temperature: 5.0 }, 2),
        (Head::Proto { temperature: 0.5, shots: Shots { n_supp: 1, n_query: 1 } }, 2),
        (Head::Proto { temperature: 0.5, shots }, 4),
    ];
    for (head, views) in heads {
        let rows = RowLayout::new(CLASSES, views);
        head.check(rows).expect("enough views");
        let z = Tensor::randn([rows.rows() as i64, WIDTH], (Kind::Float, tch::Device::Cpu)).set_requires_grad(true);
        let loss = f64::try_from(&head.judge(&z, rows).loss).expect("a number");
        assert!(loss.is_finite() && loss > 0.0, "{} gives {loss}", head.name());
        group.bench_function(format!("{}/{views} views", head.name()), |b| {
            b.iter(|| {
                let out = head.judge(&z, rows);
                out.loss.backward();
                out.loss
            });
        });
    }
}

criterion_group! { name = benches; config = common::criterion(); targets = heads }
criterion_main!(benches);
