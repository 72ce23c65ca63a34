//! Time of one frame pair's optical flow, on one thread and on two.

#![allow(missing_docs)] // criterion makes a public function

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use rayon::ThreadPoolBuilder;
use sdas_data::flow::TvL1;

/// Smooth ground that moves a little, and on it a disc of a finer texture that moves more.
fn frame([height, width]: [usize; 2], time: f64) -> Vec<u8> {
    let texture = |x: f64, y: f64, scale: f64| {
        let [x, y] = [x * scale, y * scale];
        127.5 + 40.0 * ((0.31 * x + 0.17 * y).sin() + (0.37 * y - 0.21 * x).sin() + (0.13 * x + 0.53 * y).cos())
    };
    let [middle_y, middle_x] = [height as f64 / 2.0, width as f64 / 2.0];
    let value = |x: f64, y: f64| {
        let [disc_x, disc_y] = [x - middle_x + 3.0 * time, y - middle_y - 2.0 * time];
        let inside = disc_x.hypot(disc_y) < middle_y / 2.0;
        if inside { texture(disc_x, disc_y, 1.7) } else { texture(x - 0.7 * time, y + 0.4 * time, 1.0) }
    };
    (0..height).flat_map(|y| (0..width).map(move |x| value(x as f64, y as f64) as u8)).collect()
}

fn flow(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("flow");
    group.sample_size(10);
    for size in [[120, 160], [240, 320]] {
        let frames = [0.0, 1.0].map(|time| frame(size, time));
        for threads in [1, 2] {
            let pool = ThreadPoolBuilder::new().num_threads(threads).build().expect("two threads");
            let name = BenchmarkId::new(format!("{}x{}", size[1], size[0]), threads);
            group.bench_function(name, |bencher| {
                pool.install(|| bencher.iter(|| TvL1::default().flow(&frames[0], &frames[1], size)));
            });
        }
    }
    group.finish();
}

criterion_group!(benches, flow);
criterion_main!(benches);
