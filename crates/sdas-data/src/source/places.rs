//! Where pictures lie that are decoded one at a time.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::PathBuf;

use super::paths::Paths;

/// Pictures by number, those to train on first.
pub(crate) enum Places {
    /// A file each.
    Files(Paths),
    /// Members of shards.
    Members {
        /// Tar files.
        shards: Vec<PathBuf>,
        members: Vec<Member>,
    },
}

/// Where a picture's file lies in a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Member {
    /// The shard's number.
    pub(crate) shard: u32,
    pub(crate) length: u32,
    /// Its first byte.
    pub(crate) offset: u64,
}

impl Places {
    pub(crate) fn len(&self) -> usize {
        match self {
            Places::Files(paths) => paths.len(),
            Places::Members { members, .. } => members.len(),
        }
    }

    /// What messages call it: its file, or the shard and as what it lies there.
    pub(crate) fn name(&self, number: usize) -> PathBuf {
        match self {
            Places::Files(paths) => paths.get(number),
            Places::Members { shards, members } => {
                let Member { shard, offset, .. } = members[number];
                let shard = &shards[shard as usize];
                shard.join(member_name(shard, offset).unwrap_or_else(|_| format!("at byte {offset}")))
            }
        }
    }

    /// The bytes of its file, if they are no more than `most`.
    pub(crate) fn read(&self, number: usize, most: u64) -> Result<Vec<u8>, String> {
        match self {
            Places::Files(paths) => crate::decode::read(&paths.get(number), most),
            Places::Members { shards, members } => {
                let Member { shard, length, offset } = members[number];
                if u64::from(length) > most {
                    return Err(crate::decode::too_long(most));
                }
                let mut bytes = vec![0; length as usize];
                let read = |bytes: &mut [u8]| -> io::Result<()> {
                    let mut file = File::open(&shards[shard as usize])?;
                    file.seek(SeekFrom::Start(offset))?;
                    file.read_exact(bytes)
                };
                read(&mut bytes).map_err(|error| format!("{length} bytes from byte {offset} on: {error}"))?;
                Ok(bytes)
            }
        }
    }
}

/// The name that a member's header has, which lies before its bytes.
fn member_name(shard: &PathBuf, offset: u64) -> io::Result<String> {
    let mut header = tar::Header::new_old();
    let mut file = File::open(shard)?;
    file.seek(SeekFrom::Start(offset - header.as_bytes().len() as u64))?;
    file.read_exact(header.as_mut_bytes())?;
    Ok(header.path()?.to_string_lossy().into_owned())
}
