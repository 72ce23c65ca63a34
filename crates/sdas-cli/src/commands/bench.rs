//! `sdas bench`.

use super::{Outcome, device, say, say_json};
use crate::arguments::{PhaseName, StepArguments};
use crate::format::memory;
use anyhow::bail;
use sdas::bench::{StepSettings, StepTimes, Width};
use sdas::device::Device;
use sdas::run::Phase;

/// Times one step.
pub(crate) fn step(arguments: &StepArguments) -> anyhow::Result<Outcome> {
    let device = device(arguments.device)?;
    let phase = match arguments.phase {
        PhaseName::Search => Phase::Search,
        PhaseName::Train => Phase::Train,
    };
    if phase == Phase::Train && arguments.frames.get() > 1 {
        bail!("--phase train times pictures; leave out --frames");
    }
    let times = sdas::bench::step(
        StepSettings {
            phase,
            channels: arguments.channels.get(),
            layers: arguments.layers as usize,
            batch: arguments.batch as usize,
            size: arguments.size as usize,
            frames: arguments.frames.get(),
            steps: arguments.steps.get(),
            portable: arguments.portable,
            width: arguments.width.unwrap_or_else(Width::current),
        },
        &device,
    )?;
    if arguments.json {
        say_json(&times)?;
    } else {
        say(&report(&times, device == Device::flex()))?;
    }
    Ok(Outcome::Done)
}

/// What can be done at best is measured on the processor, and says nothing of another device.
fn report(times: &StepTimes, is_cpu: bool) -> String {
    let giga = |value: f64| value / 1e9;
    let peak = times.peak_memory.map_or(String::new(), |bytes| format!("memory     {} at most\n", memory(bytes)));
    let share = format!(
        "of peak    {:.1} % of {:.0} GFLOP/s of fused multiply-add ({}); memory moves {:.1} GB/s at best\n",
        100.0 * times.operations_per_second / times.peak_operations_per_second,
        giga(times.peak_operations_per_second),
        times.settings.width.name(),
        giga(times.peak_bandwidth),
    );
    format!(
        "step       {:.4} s (median of {}; the fastest {:.4} s)\n\
         work       {:.1} GFLOP, {:.1} GFLOP/s\n\
         {}{peak}",
        times.median_seconds,
        times.settings.steps,
        times.min_seconds,
        giga(times.operations),
        giga(times.operations_per_second),
        if is_cpu { share.as_str() } else { "" },
    )
}
