//! `sdas bench`.

use super::{Outcome, device, say, say_json, sizes};
use crate::arguments::{SizeArguments, StepArguments};
use crate::format::memory;
use anyhow::bail;
use sdas::architecture::Architecture;
use sdas::bench::{StepSettings, StepTimes, Stepped, Width};
use sdas::network::NetworkShape;
use sdas::space::{IMAGE, Space, VIDEO};
use sdas::supernet::SupernetShape;
use std::num::NonZeroUsize;

/// Times one step.
pub(crate) fn step(arguments: &StepArguments) -> anyhow::Result<Outcome> {
    let device = device(arguments.device)?;
    let StepArguments { network, space, share, sizes, .. } = arguments;
    let (of, extent) = match network {
        None => searched(*space, share.get(), sizes)?,
        Some(name) => match Architecture::resolve(name)? {
            Architecture::Network(network) => {
                let sizes = sizes::of_network(network, sizes)?;
                (Stepped::Layers { network, sizes }, sizes.extent)
            }
            Architecture::Cell(genotype) => {
                let (shape, extent) = sizes::of_cell(&genotype, sizes)?;
                // Its auxiliary head has nothing to look at in small pictures, and is no part of what is compared.
                (Stepped::Cells { genotype, shape: NetworkShape { auxiliary: false, ..shape } }, extent)
            }
        },
    };
    let times = sdas::bench::step(
        StepSettings {
            of,
            extent,
            batch: arguments.batch as usize,
            steps: arguments.steps.get(),
            portable: arguments.portable,
            vectors: arguments.vectors.unwrap_or_else(Width::current),
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

/// What is searched, and of which samples.
fn searched(
    space: Option<&'static Space>,
    share: usize,
    sizes: &SizeArguments,
) -> anyhow::Result<(Stepped, [usize; 3])> {
    let of_networks = [("--width", sizes.width.is_some()), ("--stem", sizes.stem.is_some())];
    if let Some((option, _)) = of_networks.into_iter().find(|(_, given)| *given) {
        bail!("{option} is of networks that are trained; a search step has none by name");
    }
    let or = |size: Option<NonZeroUsize>, usual| size.map_or(usual, NonZeroUsize::get);
    let frames = or(sizes.frames, 1);
    let (usual, stem_stride) = if frames > 1 { (&VIDEO, [1, 2, 2]) } else { (&IMAGE, [1, 1, 1]) };
    let shape = SupernetShape {
        channels: or(sizes.channels, 16),
        cells: or(sizes.layers, 8),
        classes: or(sizes.classes, 10),
        inputs: 3,
        stem_stride,
        share,
    };
    if !shape.channels.is_multiple_of(share) {
        bail!("--share is {share}, which does not divide the {} channels", shape.channels);
    }
    if shape.cells < 3 {
        bail!("--layers is {}, but a network that is searched has at least 3 cells", shape.cells);
    }
    let side = or(sizes.size, 32);
    if side < 8 {
        bail!("--size is {side}, but pictures that are searched with have at least 8 pixels a side");
    }
    Ok((Stepped::Search { space: space.unwrap_or(usual), shape }, [frames, side, side]))
}

fn report(times: &StepTimes) -> String {
    let giga = |value: f64| value / 1e9;
    let peak = times.peak_memory.map(|bytes| format!("{} at most", memory(bytes)));
    let width = format!(" ({})", times.settings.vectors.name());
    let (launches, memory) = match times.card {
        None => (String::new(), peak),
        Some(card) => (
            format!(
                "launches   {} a step, {} of them one by one\nwaits      {} a step for the card\n",
                card.launches, card.launches_by_host, card.waits
            ),
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
            of: searched(None, 1, &SizeArguments::default()).unwrap().0,
            extent: [1, 32, 32],
            batch: 64,
            steps: 5,
            portable: false,
            vectors: Width::Plain,
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
        times.card = Some(CardUsage { launches: 1885, launches_by_host: 22, waits: 1, memory: 3 << 29 });
        let on_card = "step       0.5000 s (median of 5; the fastest 0.4000 s)\n\
                       work       200.0 GFLOP; 400.0 GFLOP/s are 25.0 % of 1600 in fused multiply-adds\n\
                       traffic    10.0 GB at least; 20.0 GB/s are 10.0 % of 200.0 between memory and the card\n\
                       launches   1885 a step, 22 of them one by one\n\
                       waits      1 a step for the card\n\
                       memory     1.5 GiB of the card's\n";
        assert_eq!(report(&times), on_card);
    }
}
