//! Loss and gradient of each head on one batch of embeddings, on the CPU.

mod common;

use criterion::{criterion_group, criterion_main};
use metacl::episode::RowLayout;
use metacl::nn::head::{Head, Shots};
use tch::{Kind, Tensor};

type Group<'a> = criterion::BenchmarkGroup<'a, common::CpuTime>;

const CLASSES: usize = 256;
const WIDTH: i64 = 128;

fn heads(c: &mut criterion::Criterion<common::CpuTime>) {
    tch::manual_seed(0);
    tch::set_num_threads(1);
    let mut group = c.benchmark_group("heads");
    let shots = Shots { n_supp: 1, n_query: 3 };
    let heads = [
        (Head::Contrastive { temperature: 5.0 }, 2),
        (Head::Proto { temperature: 0.5, shots: Shots { n_supp: 1, n_query: 1 } }, 2),
        (Head::Proto { temperature: 0.5, shots }, 4),
        (Head::R2d2 { temperature: 0.1, reg: 50.0, shots: Shots { n_supp: 1, n_query: 1 } }, 2),
        (Head::R2d2 { temperature: 0.1, reg: 50.0, shots }, 4),
        (Head::Svm { temperature: 10.0, shots: Shots { n_supp: 1, n_query: 1 }, tasks: 4 }, 2),
    ];
    for (head, views) in heads {
        bench(&mut group, head, RowLayout::new(CLASSES, views));
    }
    // One task as large as few-shot evaluation and training make them.
    let shots = Shots { n_supp: 5, n_query: 5 };
    bench(&mut group, Head::Svm { temperature: 10.0, shots, tasks: 1 }, RowLayout::new(64, 10));
    group.finish();
}

fn bench(group: &mut Group<'_>, head: Head, rows: RowLayout) {
    head.check(rows).expect("the batch suits the head");
    group.throughput(common::each(rows.classes));
    let z = Tensor::randn([rows.rows() as i64, WIDTH], (Kind::Float, tch::Device::Cpu)).set_requires_grad(true);
    let out = head.judge(&z, rows);
    let loss = f64::try_from(&out.loss).expect("a number");
    assert!(loss.is_finite() && loss > 0.0, "{} gives {loss}", head.name());
    if let Some(solver) = out.solver {
        assert!(solver.converged(), "{solver:?}");
        println!("{}: {} iterations, residual {:.1e}", head.name(), solver.iterations, solver.residual);
    }
    group.bench_function(format!("{}/{} classes of {} views", head.name(), rows.classes, rows.views), |b| {
        b.iter(|| {
            let out = head.judge(&z, rows);
            out.loss.backward();
            out.loss
        });
    });
}

criterion_group! { name = benches; config = common::criterion(); targets = heads }
criterion_main!(benches);
