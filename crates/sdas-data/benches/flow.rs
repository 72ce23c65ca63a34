//! Time of one frame pair's optical flow, on one thread and on two.

use divan::Bencher;
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

#[divan::bench(args = [[120, 160], [240, 320]], consts = [1, 2], sample_count = 20)]
fn flow<const THREADS: usize>(bencher: Bencher, size: &[usize; 2]) {
    let size = *size;
    let frames = [0.0, 1.0].map(|time| frame(size, time));
    let pool = ThreadPoolBuilder::new().num_threads(THREADS).build().expect("threads");
    bencher.bench(|| pool.install(|| TvL1::default().flow(&frames[0], &frames[1], size)));
}

fn main() {
    divan::main();
}
