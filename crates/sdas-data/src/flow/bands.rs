//! Pictures cut into bands of rows, one a thread; loops compiled for the vectors that the machine has.

/// Fewer pixels than this are not worth another thread's waking up.
const LEAST: usize = 1 << 13;

/// How a picture is divided. What is computed for a row never depends on it.
pub(super) struct Bands {
    /// How many bands there are.
    pub(super) count: usize,
    /// Rows of each, but perhaps the last.
    pub(super) rows: usize,
}

impl Bands {
    /// Bands of a picture of height × width pixels for the current rayon pool.
    pub(super) fn of([height, width]: [usize; 2]) -> Self {
        let most = (height * width / LEAST).clamp(1, height);
        let rows = height.div_ceil(rayon::current_num_threads().min(most));
        Self { count: height.div_ceil(rows), rows }
    }

    /// Runs `body` on every part, one part a band.
    pub(super) fn run<T: Send>(&self, parts: impl Iterator<Item = T> + Send, body: impl Fn(T) + Sync) {
        if self.count == 1 {
            return parts.for_each(body);
        }
        let body = &body;
        rayon::scope(|scope| parts.for_each(|part| scope.spawn(move |_| body(part))));
    }
}

/// Runs `body` compiled for the widest vectors that this machine has. It and all that it calls in its loops has to be
/// `#[inline(always)]`. No operation is fused or reordered for it, so every width gives the same bits.
pub(super) fn widest(body: impl FnMut()) {
    struct Body<F>(F);

    impl<F: FnMut()> pulp::WithSimd for Body<F> {
        type Output = ();

        #[inline(always)]
        fn with_simd<S: pulp::Simd>(mut self, _: S) {
            (self.0)();
        }
    }

    pulp::Arch::new().dispatch(Body(body));
}
