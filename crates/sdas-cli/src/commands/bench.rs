//! `sdas bench`.

use super::{Outcome, device, say, say_json};
use crate::arguments::{PhaseName, StepArguments};
use crate::format::memory;
use anyhow::bail;
use sdas::bench::{StepSettings, StepTimes, Width};
use sdas::run::Phase;
use sdas::space::{IMAGE, VIDEO};

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
    if phase == Phase::Train && arguments.space.is_some() {
        bail!("--phase train times the training of DARTS V2's network; leave out --space");
    }
    let of_frames = if arguments.frames.get() > 1 { &VIDEO } else { &IMAGE };
    let times = sdas::bench::step(
        StepSettings {
            phase,
            space: arguments.space.unwrap_or(of_frames),
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
        say(&report(&times))?;
    }
    Ok(Outcome::Done)
}

fn report(times: &StepTimes) -> String {
    let giga = |value: f64| value / 1e9;
    let peak = times.peak_memory.map(|bytes| format!("{} at most", memory(bytes)));
    let width = format!(" ({})", times.settings.width.name());
    let (launches, memory) = match times.card {
        None => (String::new(), peak),
        Some(card) => (
            format!("launches   {} a step, {} of them one by one\n", card.launches, card.launches_by_host),
            Some(format!("{} of the card's", memory(card.memory))),
        ),
    };
    format!(
        "step       {:.4} s (median of {}; the fastest {:.4} s)\n\
         work       {:.1} GFLOP; {:.1} GFLOP/s are {:.1} % of {:.0} in fused multiply-adds{}\n\
         traffic    {:.1} GB at least; {:.1} GB/s are {:.1} % of {:.1} between memory and {}\n\
         {launches}{}",
        times.median_seconds,
        times.settings.steps,
        times.min_seconds,
        giga(times.operations),
        giga(times.operations_per_second),
        100.0 * times.operations_per_second / times.peak_operations_per_second,
        giga(times.peak_operations_per_second),
        if times.card.is_none() { width.as_str() } else { "" },
        giga(times.bytes),
        giga(times.bandwidth),
        100.0 * times.bandwidth / times.peak_bandwidth,
        giga(times.peak_bandwidth),
        if times.card.is_none() { "the cores" } else { "the card" },
        memory.map_or(String::new(), |memory| format!("memory     {memory}\n")),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use sdas::bench::CardUsage;

    #[test]
    fn a_step_is_held_against_the_best_of_its_device() {
        let settings = StepSettings {
            phase: Phase::Search,
            space: &IMAGE,
            channels: 16,
            layers: 8,
            batch: 64,
            size: 32,
            frames: 1,
            steps: 5,
            portable: false,
            width: Width::Plain,
        };
        let mut times = StepTimes {
            settings,
            median_seconds: 0.5,
            min_seconds: 0.4,
            operations: 200e9,
            operations_per_second: 400e9,
            peak_operations_per_second: 1600e9,
            bytes: 10e9,
            bandwidth: 20e9,
            peak_bandwidth: 200e9,
            peak_memory: Some(1 << 30),
            card: None,
        };
        let own = "step       0.5000 s (median of 5; the fastest 0.4000 s)\n\
                   work       200.0 GFLOP; 400.0 GFLOP/s are 25.0 % of 1600 in fused multiply-adds (plain)\n\
                   traffic    10.0 GB at least; 20.0 GB/s are 10.0 % of 200.0 between memory and the cores\n\
                   memory     1.0 GiB at most\n";
        assert_eq!(report(&times), own);
        times.card = Some(CardUsage { launches: 1885, launches_by_host: 22, memory: 3 << 29 });
        let on_card = "step       0.5000 s (median of 5; the fastest 0.4000 s)\n\
                       work       200.0 GFLOP; 400.0 GFLOP/s are 25.0 % of 1600 in fused multiply-adds\n\
                       traffic    10.0 GB at least; 20.0 GB/s are 10.0 % of 200.0 between memory and the card\n\
                       launches   1885 a step, 22 of them one by one\n\
                       memory     1.5 GiB of the card's\n";
        assert_eq!(report(&times), on_card);
    }
}
