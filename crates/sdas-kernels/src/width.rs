//! Vector widths: one source, compiled once for every instruction set that a machine may have.

use crate::registers::{Quarter, Registers};
use std::cell::Cell;

/// An instruction set that the fused edge is compiled for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Width {
    /// x86-64 with 512-bit vectors.
    Avx512,
    /// x86-64 with 256-bit vectors and fused multiply-add.
    Avx2,
    /// 64-bit ARM.
    Neon,
    /// What the target always has.
    Plain,
}

impl Width {
    /// Every one that there is.
    pub const ALL: [Width; 4] = [Width::Avx512, Width::Avx2, Width::Neon, Width::Plain];

    /// What it is called, in lower case.
    pub fn name(self) -> &'static str {
        match self {
            Width::Avx512 => "avx512",
            Width::Avx2 => "avx2",
            Width::Neon => "neon",
            Width::Plain => "plain",
        }
    }

    /// Those that this machine has, the fastest first.
    pub fn available() -> Vec<Width> {
        Width::ALL.into_iter().filter(|width| width.is_available()).collect()
    }

    /// Runs `body` with every edge that this thread computes forward, and the way back from it, in this width: for tests
    /// and measurements.
    ///
    /// # Panics
    ///
    /// If the machine does not have it.
    pub fn within<R>(self, body: impl FnOnce() -> R) -> R {
        assert!(self.is_available(), "this machine has no {self:?}");
        let before = FORCED.replace(Some(self));
        let result = body();
        FORCED.set(before);
        result
    }

    /// The width that this thread's edges are computed in.
    pub fn current() -> Width {
        FORCED.get().unwrap_or_else(|| Width::available()[0])
    }

    fn is_available(self) -> bool {
        match self {
            #[cfg(target_arch = "x86_64")]
            Width::Avx512 => {
                is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512dq")
                    && is_x86_feature_detected!("avx512vl")
                    && Width::Avx2.is_available()
            }
            #[cfg(target_arch = "x86_64")]
            Width::Avx2 => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
            #[cfg(target_arch = "aarch64")]
            Width::Neon => true,
            Width::Plain => true,
            #[allow(unreachable_patterns)] // each architecture lacks some
            _ => false,
        }
    }
}

thread_local! {
    static FORCED: Cell<Option<Width>> = const { Cell::new(None) };
}

/// Work that is compiled for every width. `run`, and all that it calls in its loops, has to be `#[inline(always)]`: only
/// then is it compiled with the instructions of the width.
pub(crate) trait Task {
    fn run<R: Registers>(self);
}

/// Runs a task in a width.
pub(crate) fn run<T: Task>(width: Width, task: T) {
    match width {
        #[cfg(target_arch = "x86_64")]
        #[allow(unsafe_code)]
        // SAFETY: a width is only ever chosen after `is_available` has found its features.
        Width::Avx512 => unsafe { x86::avx512(task) },
        #[cfg(target_arch = "x86_64")]
        #[allow(unsafe_code)]
        // SAFETY: as above.
        Width::Avx2 => unsafe { x86::avx2(task) },
        #[cfg(target_arch = "aarch64")]
        Width::Neon => task.run::<crate::registers::Half>(),
        _ => task.run::<Quarter>(),
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::Task;
    use crate::registers::{Half, Wide};

    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
    pub(super) fn avx512<T: Task>(task: T) {
        task.run::<Wide>();
    }

    #[target_feature(enable = "avx2,fma")]
    pub(super) fn avx2<T: Task>(task: T) {
        task.run::<Half>();
    }
}
