//! Pictures a second that a loader makes of a folder of pictures, or of shards, which it decodes while it goes: a line of
//! JSON. `bench/loader.py` runs it beside torchvision's. Or clips a second of a set in UCF101's form, with a short side of
//! 128 pixels, of which 16 frames are seen, two apart: `clips` decodes them while it goes, `clips-kept` beforehand.
//!
//!     cargo run --release -p sdas-data --example loader -- DIR [train|jitter|test|clips|clips-kept] [SIDE] [THREADS] [PICTURES]
//!
//! The numbers are of the loader alone, without the listing; `memory_mb` is what is resident after each tenth of the epoch.

use std::error::Error;
use std::time::Instant;

use sdas_data::{
    Augmentation, ClipSettings, ColourJitter, Cropping, Keep, Kind, Loader, LoaderSettings, Source, Statistics, Views,
    load,
};

const BATCH: usize = 64;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let path = arguments.first().ok_or("which folder?")?;
    let what = arguments.get(1).map_or("train", String::as_str);
    let number = |at: usize, usual| arguments.get(at).map_or(Ok(usual), |text| text.parse());
    let (side, threads, pictures) = (number(2, 224)?, number(3, 1)?, number(4, usize::MAX)?);

    let has_shards =
        std::fs::read_dir(path)?.flatten().any(|file| file.path().extension().is_some_and(|end| end == "tar"));
    let has_clips = what.starts_with("clips");
    let kind = match (has_shards, has_clips) {
        (true, _) => Kind::Shards,
        (false, true) => Kind::Ucf101,
        (false, false) => Kind::Folder,
    };
    let keep = Some(if what == "clips-kept" { Keep::Cache } else { Keep::None });
    let source = Source { path: Some(path.into()), keep, size: has_clips.then_some(128), ..Source::new(kind) };
    let begun = Instant::now();
    let splits = load(&source, &|_| {})?;
    let listing = begun.elapsed().as_secs_f64();

    let statistics = Statistics { mean: vec![0.485, 0.456, 0.406], std: vec![0.229, 0.224, 0.225] };
    let usual = ColourJitter { brightness: 0.4, contrast: 0.4, saturation: 0.4, hue: 0.1 };
    let colour = if what == "jitter" { usual } else { ColourJitter::default() };
    let augmentation = Augmentation { flip: true, colour, ..Augmentation::none() };
    let settings = match what {
        "train" | "jitter" | "clips" | "clips-kept" => LoaderSettings {
            cropping: Cropping::RandomResized { area: [0.08, 1.0], aspect: [0.75, 4.0 / 3.0] },
            ..LoaderSettings::training("bench", 0, BATCH, statistics, augmentation)
        },
        "test" => LoaderSettings {
            views: Some(Views { scale: 0.875, ..Views::default() }),
            ..LoaderSettings::evaluation(BATCH, statistics)
        },
        other => return Err(format!("{other} is none of train, jitter, test, clips and clips-kept").into()),
    };
    let [frames, stride] = if has_clips { [16, 2] } else { [1, 1] };
    let clip = ClipSettings { frames, stride, crop: Some(side), ..ClipSettings::default() };
    let indices: Vec<_> = (0..splits.train.len()).collect();
    let loader = Loader::new(&splits.train, &indices, LoaderSettings { clip, threads, ..settings });

    let (begun, before, mut done) = (Instant::now(), processor_seconds(), 0);
    let (tenth, mut memory) = (indices.len().min(pictures) / 10, vec![]);
    for batch in loader.epoch(0, 0) {
        done += batch?.labels.len();
        if done >= (memory.len() + 1) * tenth {
            memory.push(megabytes("VmRSS:"));
        }
        if done >= pictures {
            break;
        }
    }
    let seconds = begun.elapsed().as_secs_f64();
    println!(
        "{}",
        serde_json::json!({
            "pictures": done, "seconds": seconds, "per_second": done as f64 / seconds, "listed": indices.len(),
            "listing_seconds": listing, "peak_mb": megabytes("VmHWM:"), "memory_mb": memory,
            "processor_seconds": before.zip(processor_seconds()).map(|(before, after)| after - before),
        })
    );
    Ok(())
}

/// A size that Linux tells of this process.
fn megabytes(name: &str) -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let size = status.lines().find_map(|line| line.strip_prefix(name)?.trim().strip_suffix(" kB")?.parse::<f64>().ok());
    Some((size? / 102.4).round() / 10.0)
}

/// What Linux says that this process and those that it has started and that have ended have computed, at its hundred ticks a
/// second.
fn processor_seconds() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let fields = stat.rsplit_once(") ")?.1.split(' ').skip(11).take(4);
    Some(fields.filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / 100.0)
}
