//! `sdas devices`.

use super::{Outcome, say, say_json};
use crate::arguments::DevicesArguments;
use crate::format::memory;
use sdas::device::{Listed, Listing, Missing};

/// Lists what there is to compute on.
pub(crate) fn run(arguments: &DevicesArguments) -> anyhow::Result<Outcome> {
    let listing = Listing::new();
    if arguments.json {
        say_json(&listing)?;
    } else {
        say(&report(&listing))?;
    }
    Ok(Outcome::Done)
}

fn report(Listing { devices, missing, auto }: &Listing) -> String {
    let head = ["device", "name", "kind", "memory", "usable"].map(str::to_owned);
    let rows: Vec<[String; 5]> = std::iter::once(head).chain(devices.iter().map(row)).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; 5] = std::array::from_fn(width);
    let line = |row: &[String; 5]| {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        format!("{}\n", cells.collect::<Vec<_>>().join("  ").trim_end())
    };
    let table: String = rows.iter().map(line).collect();
    let lacks = missing.iter().map(|Missing { device, lack }| format!("\n{device}: {lack}\n"));
    format!("{table}\n--device auto takes {auto}\n{}", lacks.collect::<String>())
}

fn row(listed: &Listed) -> [String; 5] {
    let free = listed.free.map_or(String::new(), |free| format!(", {} free", memory(free)));
    let memory = listed.memory.map_or("not known".to_owned(), |bytes| memory(bytes) + &free);
    let usable = if listed.usable { "yes" } else { "no, see below" };
    [listed.device.to_owned(), listed.name.clone(), listed.kind.to_owned(), memory, usable.to_owned()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use sdas::device::Lack;

    #[test]
    fn the_table_has_every_device_and_what_is_missing() {
        let listed = |device, name: &str, kind, memory, free, usable| Listed {
            device,
            name: name.to_owned(),
            kind,
            memory,
            free,
            usable,
        };
        let listing = Listing {
            devices: vec![
                listed("cpu", "the processor", "processor", Some(8 << 30), None, true),
                listed("cuda", "NVIDIA H100", "discrete", Some(80 << 30), Some(79 << 30), true),
                listed("wgpu", "NVIDIA H100", "discrete", None, None, false),
            ],
            missing: vec![Missing { device: "wgpu", lack: Lack::NotBuilt { feature: "wgpu" } }],
            auto: "cuda",
        };
        let expected = "device  name           kind       memory                   usable\n\
                        cpu     the processor  processor  8.0 GiB                  yes\n\
                        cuda    NVIDIA H100    discrete   80.0 GiB, 79.0 GiB free  yes\n\
                        wgpu    NVIDIA H100    discrete   not known                no, see below\n\
                        \n--device auto takes cuda\n\
                        \nwgpu: this build has no wgpu; build with it: cargo run --release --features wgpu -- …\n";
        assert_eq!(report(&listing), expected);
    }
}
